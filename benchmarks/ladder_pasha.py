"""Rungs that open only while the two top rungs disagree (PASHA, Bohdal et al., ICLR 2023), beside the ladder as it is.

    python benchmarks/ladder_pasha.py --samplers random --seeds 40 --landscapes plain --out results/rehearsal/pasha.txt

At first only the two lowest rungs are open. The next one opens when the trials at the top open rung are ranked otherwise than
at the rung below: where a trial's place there is held by one whose AP differs by more than `epsilon` (PASHA's soft ranking).
Once open, a rung stays open. Where the last one never opens, the front is chosen at the top open rung and trained to its end,
which the epochs count. `epsilon` is given as the landscape's noise: along a curve (`wobble`), or between seeds (`noise`).
PASHA estimates it from pairs whose order changes to and fro, which takes an evaluation every epoch. `never` opens nothing: the
most that could be saved.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import optuna

from scalesearch.app.rehearse import Scenario, on_landscape
from scalesearch.evidence.noise import Spread
from scalesearch.records.pareto import non_dominated
from scalesearch.records.trials import Trial
from scalesearch.rehearsal.comparison_page import spread_text
from scalesearch.rehearsal.landscape import LANDSCAPES, Landscape
from scalesearch.rehearsal.simulation import Yardstick, rehearse
from scalesearch.study import driver
from scalesearch.study import successive_halving as ladder
from scalesearch.study.successive_halving import Promotion, promotion

PLAN = Path(__file__).parents[1] / "search_spaces" / "landscape.yaml"


@dataclasses.dataclass
class Pasha:
    """The rule of one search, in the place of the driver's `promotion`."""

    epsilon: float
    opened: int = 2
    trials: Sequence[Trial] = ()
    """As they were at the last call."""

    def __call__(
        self, trials: Sequence[Trial], heading: Mapping[int, int], *, rungs: Sequence[int], **options: object
    ) -> Promotion | None:
        self.trials = trials
        while self.opened < len(rungs) and self._disagree(rungs[self.opened - 2], rungs[self.opened - 1]):
            self.opened += 1
        return promotion(trials, heading, rungs=rungs[: self.opened], **options)  # type: ignore[arg-type]

    def _disagree(self, lower: int, upper: int) -> bool:
        """Whether a trial at the upper rung has another place than at the lower one, by more than epsilon."""
        both = [trial for trial in self.trials if not trial.failed and upper in trial.aps and lower in trial.aps]
        if len(both) < 2:
            return False
        above, below = (np.array(ladder._expected(both, epochs)) for epochs in (upper, lower))
        ranked = above[np.argsort(-below, kind="stable")]  # in the lower rung's order, the APs at the upper one
        return bool(np.any(np.abs(ranked - np.sort(above)[::-1]) > self.epsilon))


@dataclasses.dataclass(frozen=True)
class Result:
    volume: float
    above: float
    share: float
    """Epochs, of those of full training."""
    opened: bool
    """Whether the last rung opened."""


def searched(
    stage: Scenario, yardstick: Yardstick, sampler: str, seed: int, rule: Pasha | None, climbs: bool
) -> Result:
    plan = dataclasses.replace(
        stage.plan,
        sampler=dataclasses.replace(stage.plan.sampler, name=sampler),
        seed=seed,
        ladder=stage.plan.ladder if climbs else None,
    )
    with mock.patch.object(driver, "promotion", rule or promotion):
        run = rehearse(plan, stage.band, stage.surrogate, yardstick, stage.setup)
    if rule is None or rule.opened > len(stage.plan.ladder.rungs if stage.plan.ladder else ()):
        return Result(run.last.volume, run.last.above, run.epochs / run.full, True)
    done = max(trial.epochs_done for trial in rule.trials)
    here = [trial for trial in rule.trials if trial.epochs_done == done]
    front = non_dominated(here, lambda trial: trial.values(plan.objectives), plan.objectives)
    epochs = run.epochs + len(front) * (plan.recipe.epochs - done)
    return Result(*yardstick.measure(front), epochs / run.full, False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samplers", default="random")
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--landscapes", default=",".join(LANDSCAPES))
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    options = (
        f"--samplers {asked.samplers} --seeds {asked.seeds} --trials {asked.trials} --landscapes {asked.landscapes}"
    )
    lines = [
        f"python benchmarks/ladder_pasha.py {options}",
        "epochs of full training's | hypervolume by full training's, AP from 0 | from the median of the band",
    ]
    for name in asked.landscapes.split(","):
        stage = on_landscape(PLAN, [f"trials={asked.trials}"], name)
        yardstick = Yardstick(stage.band, stage.surrogate, stage.plan.objectives)
        landscape = stage.surrogate
        assert isinstance(landscape, Landscape)
        rules = {"ladder": None, "wobble": landscape.wobble, "noise": landscape.noise, "never": math.inf}
        for sampler in asked.samplers.split(","):
            full = [searched(stage, yardstick, sampler, seed, None, False) for seed in range(asked.seeds)]
            for rule, epsilon in rules.items():
                runs = [
                    searched(stage, yardstick, sampler, seed, None if epsilon is None else Pasha(epsilon), True)
                    for seed in range(asked.seeds)
                ]
                share = Spread(tuple(run.share for run in runs)).mean
                volume = Spread(tuple(run.volume / its.volume for run, its in zip(runs, full, strict=True)))
                above = Spread(tuple(run.above / its.above for run, its in zip(runs, full, strict=True)))
                opened = sum(run.opened for run in runs)
                lines.append(
                    f"{name:9} {sampler:7} {rule:7} {share:.1%} | {spread_text(volume)} | {spread_text(above)} | "
                    f"the last rung opened in {opened} of {len(runs)}"
                )
                print(lines[-1], flush=True)
    if asked.out:
        asked.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
