"""Rules of promotion beside one another: who goes on from a rung, rehearsed on the landscapes.

    python benchmarks/ladder_rules.py --samplers random --seeds 20 --out results/rehearsal/rules.txt

Each rule orders the candidates of a rung; how many go on is the ladder's own. `expected` is what `study/successive_halving.py` does,
`as seen` the same by AP at the rung (MO-ASHA's rank, hypervolume within it), `crowding` the same rank with NSGA-II's
crowding distance within it, `residual` AP at the rung beside a line over log MACs, `ap` AP at the rung alone.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from unittest import mock

import numpy as np
import optuna

from scalesearch.app.rehearse import on_landscape
from scalesearch.evidence.noise import Spread
from scalesearch.plan.ladder import Ladder
from scalesearch.records.hypervolume import by_gain
from scalesearch.records.pareto import non_dominated
from scalesearch.records.trials import Trial
from scalesearch.rehearsal.comparison_page import spread_text
from scalesearch.rehearsal.landscape import LANDSCAPES
from scalesearch.rehearsal.simulation import Yardstick, rehearse
from scalesearch.study import successive_halving as ladder

PLAN = Path(__file__).parents[1] / "search_spaces" / "landscape.yaml"
Rule = Callable[[Sequence[Trial], int, Sequence[str]], Iterator[int]]
"""The positions of the trials at a rung, best first."""


def own(trials: Sequence[Trial], epochs: int, objectives: Sequence[str]) -> Iterator[int]:
    if trials:
        yield from by_gain(*ladder._scaled(trials, epochs, objectives))


def seen(trials: Sequence[Trial], epochs: int) -> np.ndarray:
    return np.array([trial.ap_at(epochs) or 0.0 for trial in trials])


def as_seen(trials: Sequence[Trial], epochs: int, objectives: Sequence[str]) -> Iterator[int]:
    with mock.patch.object(ladder, "_expected", seen):
        yield from list(own(trials, epochs, objectives))


def crowding(trials: Sequence[Trial], epochs: int, objectives: Sequence[str]) -> Iterator[int]:
    points = np.array([[-(trial.ap_at(epochs) or 0.0), np.log(trial.value("macs"))] for trial in trials])
    left = list(range(len(trials)))
    while left:
        rank = non_dominated(left, lambda i: (-points[i, 0], points[i, 1]), ("ap", "macs"))
        left = [i for i in left if i not in rank]
        far = dict.fromkeys(rank, 0.0)
        for column in points.T / np.maximum(np.ptp(points, axis=0), 1e-12)[:, None]:
            order = sorted(rank, key=lambda i: column[i])
            far[order[0]] = far[order[-1]] = np.inf
            for a, i, b in zip(order, order[1:], order[2:], strict=False):
                far[i] += column[b] - column[a]
        yield from sorted(rank, key=lambda i: -far[i])


def residual(trials: Sequence[Trial], epochs: int, objectives: Sequence[str]) -> Iterator[int]:
    if trials:
        ap, macs = seen(trials, epochs), np.log([trial.value("macs") for trial in trials])
        design = np.stack([np.ones_like(macs), macs - macs.mean()], axis=1)
        rest = ap - design @ np.linalg.lstsq(design, ap, rcond=None)[0]
        yield from np.argsort(-rest, kind="stable").tolist()


def by_ap(trials: Sequence[Trial], epochs: int, objectives: Sequence[str]) -> Iterator[int]:
    yield from sorted(range(len(trials)), key=lambda i: (-(trials[i].ap_at(epochs) or 0.0), trials[i].ordinal))


RULES: dict[str, Rule] = {"expected": own, "as seen": as_seen, "crowding": crowding, "residual": residual, "ap": by_ap}


def first_by(order: Rule) -> Callable[..., int | None]:
    """As the ladder asks: the first wanted one among the best `count`."""

    def first(
        trials: Sequence[Trial], epochs: int, objectives: Sequence[str], count: int, wanted: Callable[[int], bool]
    ) -> int | None:
        return next(filter(wanted, islice(order(trials, epochs, objectives), count)), None)

    return first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samplers", default="random")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--landscapes", default=",".join(LANDSCAPES))
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    command = (
        f"--samplers {asked.samplers} --seeds {asked.seeds} --trials {asked.trials} --landscapes {asked.landscapes}"
    )
    lines = [f"python benchmarks/ladder_rules.py {command}"]
    lines += [
        "hypervolume by that of full training, AP from 0 | from the median of the band; mean and half of the 95 % interval"
    ]
    for name in asked.landscapes.split(","):
        stage = on_landscape(PLAN, [f"trials={asked.trials}"], name)
        yardstick = Yardstick(stage.band, stage.surrogate, stage.plan.objectives)

        def run(sampler: str, seed: int, climbs: Ladder | None, stage=stage, yardstick=yardstick):
            chosen = dataclasses.replace(stage.plan.sampler, name=sampler)
            plan = dataclasses.replace(stage.plan, sampler=chosen, seed=seed, ladder=climbs)
            return rehearse(plan, stage.band, stage.surrogate, yardstick, stage.setup)

        for sampler in asked.samplers.split(","):
            full = [run(sampler, seed, None).last for seed in range(asked.seeds)]
            for rule, order in RULES.items():
                with mock.patch.object(ladder, "_first", first_by(order)):
                    runs = [run(sampler, seed, stage.plan.ladder) for seed in range(asked.seeds)]
                volume = Spread(tuple(mine.last.volume / its.volume for mine, its in zip(runs, full, strict=True)))
                above = Spread(tuple(mine.last.above / its.above for mine, its in zip(runs, full, strict=True)))
                share = Spread(tuple(mine.epochs / mine.full for mine in runs)).mean
                lines.append(
                    f"{name:9} {sampler:7} {rule:9} {share:.1%} of the epochs  {spread_text(volume)} | {spread_text(above)}"
                )
                print(lines[-1], flush=True)
    if asked.out:
        asked.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
