"""The front by estimated AP: what repeats change in it, and what stays without them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from scalesearch.records.front import analysed, best_trials, estimates, flattery, ranked_trials
from scalesearch.records.row import Row
from scalesearch.records.trials import Trial, trials

MakeRow = Callable[..., Row]
BOTH = ("ap", "macs")


def rows_of(make_row: MakeRow, ordinal: int, *aps: float, width: int = 16, macs: float | None = None) -> list[Row]:
    """A search row, and a repeat for each further AP."""
    found = []
    for seed, ap in enumerate(aps):
        row = make_row(width=width, ordinal=ordinal, kind="repeat" if seed else "search", seed=seed, final={"ap": ap})
        found.append(row if macs is None else replace(row, cost={**row.cost, "macs": macs}))
    return found


def made(make_row: MakeRow, *aps: tuple[float, ...]) -> list[Trial]:
    rows = [row for i, found in enumerate(aps) for row in rows_of(make_row, i, *found, width=16 + 8 * i, macs=1e9)]
    return trials(rows)


def test_repeats_belong_to_their_trial_by_seed(make_row: MakeRow) -> None:
    rows = [*rows_of(make_row, 0, 0.3, 0.2, 0.4), *rows_of(make_row, 1, 0.1, width=24)]
    rows.append(make_row(width=24, ordinal=1, kind="repeat", seed=1, state="failed", final={}))
    found = trials(reversed(rows))
    assert [[group[0].seed for group in trial.repeats] for trial in found] == [[1, 2], []]
    assert {row.file_name for row in rows} >= {"search-000000.json", "repeat-000000-s1.json", "repeat-000001-s1.json"}


def test_without_repeats_the_front_is_that_of_the_runs(make_row: MakeRow) -> None:
    found = made(make_row, (0.3,), (0.5,), (0.4,))
    assert [trial.ordinal for trial in best_trials(found, ["ap"])] == [1]
    assert flattery(found) is None


def test_behind_the_front_comes_the_front_of_the_others(make_row: MakeRow) -> None:
    found = made(make_row, (0.3,), (0.5,), (0.4,))
    assert [[one.ordinal for one in ranked_trials(found, ["ap"], count)] for count in (0, 1, 2, 9)] == [
        [],
        [1],
        [1, 2],
        [1, 2, 0],
    ]
    costs = {0: 5, 1: 9, 2: 10}  # 1 is dearer than 0 and better; 2 is dearer than 1 and worse
    rows = [replace(row, cost={**row.cost, "macs": costs[row.ordinal]}) for trial in found for row in trial.rows]
    assert [one.ordinal for one in ranked_trials(trials(rows), ["ap", "macs"], 3)] == [1, 0, 2]
    assert ranked_trials(found, ["ap", "macs"], 9)[: len(best_trials(found, ["ap", "macs"]))] == best_trials(
        found, ["ap", "macs"]
    )


def test_a_lucky_run_does_not_beat_a_mean_of_several(make_row: MakeRow) -> None:
    # Seeds differ by 0.1 and candidates by little: 0.52 once says less than 0.50 on average of four.
    spread = [(0.3 + 0.01 * i, 0.4 - 0.01 * i) for i in range(6)]
    found = made(make_row, *spread, (0.52,), (0.55, 0.45, 0.52, 0.48))
    assert best_trials(found, ["ap"])[0].ordinal == 7
    known = {trial.ordinal: one for trial, one in zip(found, estimates(found), strict=True)}
    assert known[7].runs == 4 and known[7].mean > known[6].mean
    assert known[6].variance > known[7].variance > 0
    lucky = flattery(found)
    assert lucky is not None and lucky.trial.ordinal == 7 and lucky.ap - lucky.estimate.mean > 0.05


def test_the_noise_is_found(make_row: MakeRow) -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(0.5, 0.05, 200)
    found = made(make_row, *((*(t + 0.02 * rng.normal(size=3)),) for t in truth))
    _, noise = analysed(found)
    assert np.sqrt(noise.seeds) == pytest.approx(0.02, rel=0.1)
    assert np.sqrt(noise.candidates) == pytest.approx(0.05, rel=0.2)
    error = [one.mean - t for one, t in zip(estimates(found), truth, strict=True)]
    assert np.std(error) == pytest.approx(0.02 / np.sqrt(3), rel=0.2)


def test_the_trend_over_the_cost_is_kept(make_row: MakeRow) -> None:
    rows = [
        row
        for i in range(12)
        for row in rows_of(
            make_row, i, 0.2 + 0.1 * i / 12, *([0.2 + 0.1 * i / 12] * (i == 3)), width=16 + 8 * i, macs=2.0**i
        )
    ]
    means = [one.mean for one in estimates(trials(rows))]
    assert means == pytest.approx([0.2 + 0.1 * i / 12 for i in range(12)], abs=1e-6)
