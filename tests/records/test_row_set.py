"""Rows kept in step are what sorting and assembling all of them anew would give."""

from __future__ import annotations

import random

from scalesearch.records.row_set import RowSet
from scalesearch.records.trials import trials
from tests.records.conftest import MakeRow


def test_whatever_comes_in_whatever_order_rows_are_sorted_and_trials_whole(make_row: MakeRow) -> None:
    rng, rows, kept = random.Random(0), RowSet(), {}
    for _ in range(200):
        ordinal, member = rng.randrange(6), rng.randrange(2)
        kind = rng.choice(("search", "search", "winner"))
        row = make_row(
            kind=kind, ordinal=ordinal, member=member, epochs_done=rng.randrange(1, 4), seed=rng.randrange(2)
        )
        rows.add(row)
        kept[row.file_name] = row
        ordered = sorted(kept.values(), key=lambda row: row.order)
        assert rows.rows() == tuple(ordered)
        assert rows.trials(2) == trials(ordered, 2)
    assert rows.trials(1) == trials(ordered, 1)


def test_a_trial_that_has_not_changed_is_the_same_object(make_row: MakeRow) -> None:
    rows = RowSet([make_row(ordinal=0), make_row(ordinal=1)])
    before = rows.trials(1)
    rows.add(make_row(ordinal=1, state="failed"))
    after = rows.trials(1)
    assert after[0] is before[0]
    assert after[1].failed and not before[1].failed


def test_a_failed_or_unfinished_training_is_not_known(make_row: MakeRow) -> None:
    row = make_row()
    assert RowSet([make_row(state="failed"), make_row(ordinal=1, epochs_done=2)]).known(row.key) is None
    rows = RowSet([make_row(ordinal=2), make_row(state="failed"), make_row(ordinal=1)])
    assert rows.known(row.key) == make_row(ordinal=1)  # the first in order
    rows.add(make_row(ordinal=1, state="failed"))
    assert rows.known(row.key) == make_row(ordinal=2)
