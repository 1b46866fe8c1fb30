"""`RowSet`: rows indexed by name, by order, by training and as trials, updated with each row added."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable

from scalesearch.records.row import Row, TrainingKey
from scalesearch.records.trials import Trial, trials


def _order(row: Row) -> tuple[object, ...]:
    return row.order


def _ordinal(trial: Trial) -> int:
    return trial.ordinal


class RowSet:
    """The rows of one study, one of each name.

    A search reads all of them before each of its steps. Sorted and assembled anew each time, a candidate late in a
    study of 2,000 took 144 ms, one of the first 20 ms.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._named: dict[str, Row] = {}
        self._ordered: list[Row] = []
        self._equal: dict[TrainingKey, dict[str, Row]] = {}
        """Complete rows by training key, then by name."""
        self._searched: dict[int, dict[str, Row]] = {}
        """Search rows and repeats by ordinal, then by name."""
        self._trials: list[Trial] = []
        self._members = 1
        """Rows in each of `_trials`."""
        self._changed: set[int] = set()
        """Ordinals of rows added since `_trials` was last updated."""
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> None:
        """Add the row; it replaces a row of the same name."""
        name = row.file_name
        if before := self._named.get(name):
            self._ordered.pop(bisect_left(self._ordered, _order(before), key=_order))
            self._equal.get(before.key, {}).pop(name, None)
        self._named[name] = row
        insort(self._ordered, row, key=_order)
        if row.state == "complete" and row.epochs_done == row.epochs_planned:
            self._equal.setdefault(row.key, {})[name] = row
        if row.kind in ("search", "repeat"):
            self._searched.setdefault(row.ordinal, {})[name] = row
            self._changed.add(row.ordinal)

    def rows(self) -> tuple[Row, ...]:
        """Return all rows, ordered by kind, ordinal, member and seed."""
        return tuple(self._ordered)

    def find(self, row: Row) -> Row | None:
        """Return the stored row with this row's name if it is of an equal training, else None."""
        found = self._named.get(row.file_name)
        return found if found is not None and found.key == row.key else None

    def known(self, key: TrainingKey) -> Row | None:
        """Return the first complete row of an equal training (spec, recipe, data, seed, epochs, splits), or None."""
        return min(self._equal.get(key, {}).values(), key=_order, default=None)

    def trials(self, members: int) -> list[Trial]:
        """Return the search trials that have all `members`, by ordinal; unchanged ones are the same objects again."""
        if members != self._members:
            self._trials, self._members, self._changed = [], members, set(self._searched)
        for ordinal in self._changed:
            place = bisect_left(self._trials, ordinal, key=_ordinal)
            there = place < len(self._trials) and self._trials[place].ordinal == ordinal
            self._trials[place : place + there] = trials(self._searched[ordinal].values(), members)
        self._changed = set()
        return list(self._trials)
