"""Trainings of a study that can be compared: by one recipe, on the same images, for as many epochs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from scalesearch.records.row import Row


class ComparableRows(NamedTuple):
    """The trainings of the commonest kind in a study, one for each detector and seed."""

    rows: tuple[Row, ...]
    left_out: int
    """Complete trainings by another recipe, on other data or another split."""


def comparable_rows(rows: Sequence[Row]) -> ComparableRows:
    """Return the complete trainings with an AP of the kind that most rows are of; none where there are none.

    A training that several rows report (a winner that is a named design, too) is the first of them.
    """
    complete = [row for row in rows if row.state == "complete" and row.final.get("ap") is not None]
    if not complete:
        return ComparableRows((), 0)
    chosen, count = Counter(map(_kind, complete)).most_common(1)[0]
    found: dict[tuple[str, int], Row] = {}
    for row in complete:
        if _kind(row) == chosen:
            found.setdefault((row.spec_id, row.seed), row)
    return ComparableRows(tuple(found.values()), len(complete) - count)


def _kind(row: Row) -> tuple[object, ...]:
    return row.recipe_id, row.data, row.epochs_planned, tuple(sorted(row.splits.items()))
