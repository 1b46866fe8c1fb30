"""Comparison of rehearsals: means over seeds with 95 % intervals, and differences paired by seed. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from scalesearch.evidence.noise import Spread
from scalesearch.rehearsal.result import FrontUpdate, Rehearsed


@dataclass(frozen=True)
class Compared:
    """One sampler, with or without the ladder, over its seeds."""

    runs: tuple[Rehearsed, ...]
    of_full: Spread | None
    """Hypervolume divided by that of full training with the same sampler, seed and number of candidates."""
    of_full_above: Spread | None
    """The same with AP counted from the band's median. Both numbers are small, so this is the stricter measure."""
    full_then: Spread | None
    """Hypervolume of full training after as many epochs as this search trained."""
    over_random: Spread | None
    """Hypervolume (AP from the band's median) minus that of random with the same seed and the same ladder setting."""

    @property
    def first(self) -> Rehearsed:
        """The run of the lowest seed."""
        return self.runs[0]

    @property
    def share(self) -> Spread:
        """Epochs trained, as a share of training all its candidates fully."""
        return Spread(tuple(run.epochs / run.full for run in self.runs))

    def spread(self, of: Callable[[FrontUpdate], float]) -> Spread:
        """Return one number of the last step over the seeds."""
        return Spread(tuple(of(run.last) for run in self.runs))


def compare_runs(runs: Sequence[Rehearsed]) -> list[Compared]:
    """Group the runs by sampler, in the order of the runs, full training before the ladder."""
    groups: dict[tuple[str, bool, int], list[Rehearsed]] = {}
    for sampler in dict.fromkeys(run.sampler for run in runs):
        for run in sorted((run for run in runs if run.sampler == sampler), key=lambda run: (run.ladder, run.seed)):
            groups.setdefault((sampler, run.ladder, run.trials), []).append(run)
    full = {(sampler, trials): group for (sampler, ladder, trials), group in groups.items() if not ladder}
    found = []
    for (sampler, ladder, trials), group in groups.items():
        other = full.get((sampler, trials), []) if ladder else []
        # Random with as many candidates if there is such a run, else with more: its earlier steps are known.
        least = min(
            (n for name, climbs, n in groups if (name, climbs) == ("random", ladder) and n >= trials), default=0
        )
        others = groups.get(("random", ladder, least), [])
        found.append(
            Compared(
                tuple(group),
                _paired(group, other, lambda mine, its: mine.last.volume / its.last.volume if its.last.volume else 0.0),
                _paired(group, other, lambda mine, its: mine.last.above / its.last.above if its.last.above else 0.0),
                _paired(group, other, lambda mine, its: its.at(mine.epochs).volume),
                None if sampler == "random" else _paired(group, others, _over),
            )
        )
    return found


def _over(mine: Rehearsed, its: Rehearsed) -> float:
    """Return the difference in hypervolume; for unequal numbers of candidates, to the other after as many epochs."""
    return mine.last.above - (its.last if mine.candidates == its.candidates else its.at(mine.epochs)).above


def _paired(
    runs: Sequence[Rehearsed], others: Sequence[Rehearsed], by: Callable[[Rehearsed, Rehearsed], float]
) -> Spread | None:
    """Return `by` over the seeds that both have; None where they share none."""
    by_seed = {run.seed: run for run in others}
    values = tuple(by(run, by_seed[run.seed]) for run in runs if run.seed in by_seed)
    return Spread(values) if values else None


class CurvePoint(NamedTuple):
    """Hypervolume over seeds after a number of epochs."""

    epochs: float
    volume: Spread
    above: Spread


def curve(runs: Sequence[Rehearsed], count: int = 40) -> list[CurvePoint]:
    """Return points at `count` evenly spaced numbers of epochs, up to the most that all runs have trained."""
    most = min(run.epochs for run in runs)
    found = []
    for i in range(1, count + 1):
        steps = [run.at(most * i / count) for run in runs]
        found.append(
            CurvePoint(most * i / count, Spread(tuple(s.volume for s in steps)), Spread(tuple(s.above for s in steps)))
        )
    return found
