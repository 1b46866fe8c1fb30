"""Where does a search on the ladder lose against full training: in who goes on, or in who is proposed?

    python benchmarks/ladder_losses.py --samplers evolution --seeds 100:140
    python benchmarks/ladder_losses.py --samplers gp --trials 80 --seeds 100:110
    python benchmarks/ladder_losses.py --samplers ehvi --seeds 200:216

Each seed is searched several times: `full` trains every candidate to its end; `replayed` is the ladder with the candidates
that full training proposed, so that its whole loss is due to the choice of who goes on; `perfect` is the same with the
AP at the end in place of the expected one, so that the difference is due to the expectation; `ladder` is the ladder as
it is; and `its own in full` trains all the candidates that the ladder proposed to their end, so that its loss is due to
a sampler that observed less. Where a model says who goes on (ehvi), `by rank` is the ladder with the rank of the estimated
final AP in its place.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import optuna
from numpy.typing import NDArray

from scalesearch.app.rehearse import Scenario, on_landscape
from scalesearch.evidence.noise import Spread
from scalesearch.records.trials import Trial
from scalesearch.rehearsal.comparison_page import spread_text
from scalesearch.rehearsal.landscape import LANDSCAPES
from scalesearch.rehearsal.result import Rehearsed
from scalesearch.rehearsal.simulation import Yardstick, rehearse
from scalesearch.study import derive, driver
from scalesearch.study import successive_halving as ladder
from scalesearch.study.propose import MODELLED, Proposal, propose

PLAN = Path(__file__).parents[1] / "search_spaces" / "landscape.yaml"
KINDS = ("replayed", "perfect", "ladder", "its own in full", "by rank")


class Searches:
    """The searches of a stage."""

    def __init__(self, stage: Scenario) -> None:
        self._stage = stage
        self._yardstick = Yardstick(stage.band, stage.surrogate, stage.plan.objectives)

    def all(self, sampler: str, seed: int) -> dict[str, Rehearsed]:
        run = partial(self._run, sampler, seed)
        full, proposed = run(climbs=False)
        mine, own = run(climbs=True)
        modelled = {"by rank": run(climbs=True, by_rank=True)[0]} if sampler in MODELLED else {}
        return {
            "full": full,
            "replayed": run(climbs=True, given=proposed)[0],
            "perfect": run(climbs=True, given=proposed, perfect=True)[0],
            "ladder": mine,
            "its own in full": run(climbs=False, given=own)[0],
            **modelled,
        }

    def _run(
        self,
        sampler: str,
        seed: int,
        *,
        climbs: bool,
        given: Sequence[Proposal] = (),
        perfect: bool = False,
        by_rank: bool = False,
    ) -> tuple[Rehearsed, list[Proposal]]:
        """The search, and its proposals by ordinal: those `given`, or the sampler's own."""
        stage, made = self._stage, list(given)

        def next_one(*of: object, **more: object) -> Proposal:
            ordinal = of[4]
            assert isinstance(ordinal, int) and ordinal <= len(made)
            if ordinal == len(made):
                made.append(propose(*of, **more))  # type: ignore[arg-type]
            return made[ordinal]

        def at_end(trials: Sequence[Trial], epochs: int) -> NDArray[np.float64]:
            whole = stage.plan.recipe.epochs
            return np.array([stage.surrogate.ap(trial.rows[0].spec, seed, whole) for trial in trials])

        plan = dataclasses.replace(
            stage.plan,
            sampler=dataclasses.replace(stage.plan.sampler, name=sampler),
            seed=seed,
            ladder=stage.plan.ladder if climbs else None,
        )
        with ExitStack() as patched:
            patched.enter_context(mock.patch.object(derive, "propose", next_one))
            if perfect or by_rank:
                patched.enter_context(mock.patch.object(driver, "promotion_gains", return_value=None))
            if perfect:
                patched.enter_context(mock.patch.object(ladder, "_expected", at_end))
            return rehearse(plan, stage.band, stage.surrogate, self._yardstick, stage.setup), made


def line(name: str, sampler: str, seeds: Sequence[int], found: Sequence[dict[str, Rehearsed]]) -> str:
    """One sampler on one landscape: means over seeds, ratios seed by seed."""
    full = spread_text(Spread(tuple(one["full"].last.volume for one in found)))
    parts = [f"full {full}"]
    for kind in (kind for kind in KINDS if kind in found[0]):
        by = Spread(tuple(one[kind].last.volume / one["full"].last.volume for one in found))
        above = Spread(tuple(one[kind].last.above / one["full"].last.above for one in found))
        parts.append(f"{kind} {spread_text(by)} ({spread_text(above)})")
    candidates = found[0]["full"].trials
    return f"{name} {sampler} {len(found)} x {candidates}, seeds {seeds[0]}..{seeds[-1]}: " + "; ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samplers", default="evolution")
    parser.add_argument("--seeds", default="100:140", help="from:to, the last one excluded")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--landscape", choices=tuple(LANDSCAPES), default="plain")
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="KEY=VALUE", help="of the plan")
    parser.add_argument("--out", type=Path, help="file that the lines are added to")
    asked = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    searches = Searches(on_landscape(PLAN, [f"trials={asked.trials}", *asked.changes], asked.landscape))
    seeds = range(*map(int, asked.seeds.split(":")))
    options = f"--seeds {asked.seeds} --trials {asked.trials} --landscape {asked.landscape}"
    options += "".join(f" --set {shlex.quote(text)}" for text in asked.changes)
    lines = [f"python benchmarks/ladder_losses.py --samplers {asked.samplers} {options}"]
    for sampler in asked.samplers.split(","):
        found = []
        for seed in seeds:
            found.append(searches.all(sampler, seed))
            print(seed, {kind: round(run.last.volume, 4) for kind, run in found[-1].items()}, flush=True)
        lines.append(line(asked.landscape, sampler, seeds, found))
        print(lines[-1], flush=True)
    if asked.out:
        with open(asked.out, "a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
