"""A plain table as a surrogate: points of any names and numbers, with exact costs and recorded scores.

The points are no detectors. What a study needs of a detector in a rehearsal is its id, so a point has one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import NamedTuple, cast

import numpy as np

from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.budget import METRICS
from scalesearch.inputs.quoting import quoted
from scalesearch.io.hashes import hashed_integer, short_hash
from scalesearch.plan.bands import CALLED, misnamed
from scalesearch.rehearsal.table_file import CellValue, TableError, TableFile
from scalesearch.space.candidates import Candidate
from scalesearch.space.space import Point

SCORES = ("ap", "score")
SEED, EPOCH, LOSS = "seed", "epoch", "loss"
_RESERVED = (*SCORES, *METRICS, SEED, EPOCH, LOSS)


@dataclass(frozen=True)
class PlainSpec:
    """What stands for the detector of a point."""

    id: str


class ScoreCurve(NamedTuple):
    """The scores of one point with one seed."""

    seed: int
    epochs: tuple[int, ...]
    scores: tuple[float, ...]
    losses: tuple[float, ...]
    """Mean training loss of the epochs since the line before; empty where the table has no column loss."""


class PlainTable:
    """The points of a table. Raises TableError, with the line, for a table that is inconsistent."""

    def __init__(self, file: TableFile) -> None:
        self._file = file
        self._check_columns()
        score = next(name for name in SCORES if name in file.columns)
        self.costs = tuple(name for name in file.columns if name in METRICS)
        """Names of the costs, in the order of the columns."""
        axes = tuple(name for name in file.columns if name not in _RESERVED)
        for name in axes:
            self._check_axis(name)
        costs_by_name = {name: self._numbers(name, least=0.0) for name in self.costs}
        rows = len(file.lines)
        seeds = self._whole(SEED, 0) if SEED in file.columns else [0] * rows
        epochs = self._whole(EPOCH, 1) if EPOCH in file.columns else [1] * rows
        self.epochs = max(epochs)
        """Epochs of a whole training."""
        grouped = self._grouped(axes)
        self._check_costs(grouped, costs_by_name)
        scores = self._numbers(score)
        losses = self._numbers(LOSS) if LOSS in file.columns else []
        self._curves = {}
        candidates = []
        for group in grouped.values():
            point = {name: file.columns[name][group[0]] for name in axes}
            spec = PlainSpec(short_hash(json.dumps(point, sort_keys=True)))
            self._curves[spec.id] = self._curves_of(group, seeds, epochs, scores, losses)
            costs = {name: column[group[0]] for name, column in costs_by_name.items()}
            candidates.append(Candidate(cast(Point, point), (cast(DetectorSpec, spec),), (costs,)))
        self.candidates = tuple(candidates)
        if len(candidates) < 2:
            raise TableError(
                f"{file.path}: a table has at least two points, but all its {rows} lines are of one; "
                "there is nothing to search"
            )

    # ---- what it answers ----

    @cached_property
    def first_epoch(self) -> int:
        """Earliest epoch from which on every training has a score."""
        return max(curve.epochs[0] for curves in self._curves.values() for curve in curves)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the points' costs and scores."""
        return short_hash(
            json.dumps(
                [spec.id, candidate.costs[0], [(one.epochs, one.scores) for one in self._curves[spec.id]]],
                sort_keys=True,
            )
            for candidate in sorted(self.candidates, key=lambda one: one.key)
            for spec in candidate.members
        )

    def curves(self, spec: DetectorSpec) -> tuple[ScoreCurve, ...]:
        """Return the curves of a point, by seed."""
        return self._curves[spec.id]

    def ap(self, spec: DetectorSpec, seed: int, epoch: int) -> float:
        """Return the score with one of the recorded seeds, interpolated linearly between two recorded epochs."""
        curves = self._curves[spec.id]
        curve = curves[hashed_integer(f"{spec.id}/{seed}") % len(curves)]
        return float(np.interp(epoch, curve.epochs, curve.scores))

    def seconds(self, spec: DetectorSpec, seed: int, epochs: int) -> float:
        """Return 0: a plain table has no times."""
        return 0.0

    def truth(self, spec: DetectorSpec) -> float:
        """Return the mean score of the recorded seeds at the last epoch."""
        return fmean(curve.scores[-1] for curve in self._curves[spec.id])

    # ---- how it is read ----

    def _check_columns(self) -> None:
        names = list(self._file.columns)
        for name in names:
            if name.lower() in CALLED:
                raise self._header(f"column {quoted(name)} {misnamed(name)}")
            if name.lower() in _RESERVED and name not in _RESERVED:
                raise self._header(f"column {quoted(name)} is not a name here: write {name.lower()}")
        if len(found := [name for name in names if name in SCORES]) != 1:
            got = f"got {' and '.join(found)}" if found else f"the columns are {quoted(names)}"
            raise self._header(f"a table has one column ap or score, the higher the better, but {got}")
        if not any(name in METRICS for name in names):
            raise self._header(f"a table has a cost, one of {', '.join(METRICS)}, but the columns are {quoted(names)}")
        if all(name in _RESERVED for name in names):
            raise self._header(f"a table has columns that tell its points apart, but got only {', '.join(names)}")

    def _header(self, rule: str) -> TableError:
        return TableError(f"{self._file.path}:1: {rule}")

    def _check_axis(self, name: str) -> None:
        column = self._file.columns[name]
        if None in column:
            raise self._file.error(column.index(None), f"column {quoted(name)}: a point has a value, but got nothing")
        words = [isinstance(cell, str) for cell in column]
        if any(words) and not all(words):
            other = words.index(not words[0])
            raise self._file.error(
                other,
                f"column {quoted(name)}: an axis has names or numbers, but here is {quoted(column[other])} and in line "
                f"{self._file.lines[0]} {quoted(column[0])}",
            )

    def _numbers(self, name: str, least: float | None = None) -> list[float]:
        column = self._file.columns[name]
        for row, cell in enumerate(column):
            if cell is None or isinstance(cell, str) or (least is not None and cell <= least):
                what = "a number" if least is None else f"a number above {least:g}"
                raise self._file.error(row, f"column {quoted(name)}: must be {what}, but got {_shown(cell)}")
        return cast(list[float], list(column))

    def _whole(self, name: str, least: int) -> list[int]:
        column = self._file.columns[name]
        for row, cell in enumerate(column):
            if not isinstance(cell, int) or cell < least:
                rule = f"must be a whole number of at least {least}, but got {_shown(cell)}"
                raise self._file.error(row, f"column {quoted(name)}: {rule}")
        return cast(list[int], list(column))

    def _grouped(self, axes: Sequence[str]) -> dict[tuple[CellValue, ...], list[int]]:
        """Return the rows of each point."""
        found: dict[tuple[CellValue, ...], list[int]] = {}
        for row, point in enumerate(zip(*(self._file.columns[name] for name in axes), strict=True)):
            found.setdefault(point, []).append(row)
        return found

    def _check_costs(
        self, grouped: Mapping[tuple[CellValue, ...], Sequence[int]], costs_by_name: Mapping[str, Sequence[float]]
    ) -> None:
        for name, column in costs_by_name.items():
            for first, *others in grouped.values():
                if other := next((row for row in others if column[row] != column[first]), None):
                    raise self._file.error(
                        other,
                        f"column {quoted(name)}: a point has the same cost in all of its lines, but here {column[other]:g} "
                        f"and in line {self._file.lines[first]} {column[first]:g}",
                    )

    def _curves_of(
        self,
        group: Sequence[int],
        seeds: Sequence[int],
        epochs: Sequence[int],
        scores: Sequence[float],
        losses: Sequence[float],
    ) -> tuple[ScoreCurve, ...]:
        found: dict[int, dict[int, int]] = {}
        for row in group:
            by_epoch = found.setdefault(seeds[row], {})
            if epochs[row] in by_epoch:
                first = self._file.lines[by_epoch[epochs[row]]]
                raise self._file.error(
                    row,
                    f"a line is of another point, seed or epoch than the others, but line {first} has the same; give "
                    "repetitions a column seed",
                )
            by_epoch[epochs[row]] = row
        curves = []
        for seed, by_epoch in sorted(found.items()):
            ordered = sorted(by_epoch)
            if ordered[-1] != self.epochs:
                row = by_epoch[ordered[-1]]
                raise self._file.error(
                    row,
                    f"every training goes on to the table's last epoch {self.epochs}, but this one (seed {seed}) ends "
                    f"after {ordered[-1]}",
                )
            lines = [by_epoch[epoch] for epoch in ordered]
            found_losses = tuple(float(losses[line]) for line in lines) if losses else ()
            curves.append(ScoreCurve(seed, tuple(ordered), tuple(float(scores[line]) for line in lines), found_losses))
        return tuple(curves)


def _shown(cell: CellValue) -> str:
    return "nothing" if cell is None else quoted(cell)
