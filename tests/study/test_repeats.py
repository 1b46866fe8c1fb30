"""Repeats: which candidates are trained again, and that a killed study goes on with the same ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from scalesearch.execute.executor import InProcess
from scalesearch.plan.task import Outcome, Task
from scalesearch.records.row import Row
from scalesearch.records.trials import trials
from scalesearch.report.facts import gather
from scalesearch.report.page import page
from scalesearch.study.check import Checked, check_proposals
from scalesearch.study.driver import run_study, search
from scalesearch.study.repeats import next_repeat
from tests.studies import PLAN, make_plan, make_study
from tests.trainings import learn

MakeRow = Callable[..., Row]
OPTIONS = ("trials=15", "repeats=0.4")


def noisy(task: Task, label: str) -> Outcome:
    """`learn`, with noise of the seed."""
    outcome = learn(task, label)
    off = (int(task.spec.id[:6], 16) * (task.seed + 3) % 101 / 101 - 0.5) * 0.1
    curve = tuple((epoch, {**numbers, "ap": (numbers["ap"] or 0.0) + 0.2 + off}) for epoch, numbers in outcome.curve)
    return replace(outcome, curve=curve)


def test_a_share_of_the_trials_trains_candidates_again(tmp_path: Path) -> None:
    study = make_study(tmp_path, make_plan(tmp_path, PLAN, *OPTIONS))
    run_study(study, InProcess(noisy))
    rows = study.folder.rows()
    kinds = Counter(row.kind for row in rows)
    assert kinds["search"] == 9 and kinds["repeat"] == 6
    assert {row.seed for row in rows if row.kind == "search"} == {0}
    assert all(row.splits["evaluated"] == "b" and row.seed > 0 for row in rows if row.kind == "repeat")
    assert len({row.file_name for row in rows if row.kind == "repeat"}) == 6
    front = gather(study.plan, rows).front
    assert any(trial.repeats for trial in front)
    text = page(gather(study.plan, rows), "x")
    assert "estimated with 6 repeats" in text and "above its mean." in text and "| estimated AP |" in text


@pytest.mark.parametrize("cut", [9, 11, 14])
def test_a_killed_study_goes_on_with_the_same_repeats(tmp_path: Path, cut: int) -> None:
    whole = make_study(tmp_path / "whole", make_plan(make(tmp_path / "whole"), PLAN, *OPTIONS))
    run_study(whole, InProcess(noisy))
    place, count = tmp_path / "cut", 0

    def dies(task: Task, label: str) -> Outcome:
        nonlocal count
        count += 1
        if count > cut:
            raise KeyboardInterrupt
        return noisy(task, label)

    study = make_study(place, make_plan(make(place), PLAN, *OPTIONS))
    with study.folder, pytest.raises(KeyboardInterrupt):  # type: ignore[attr-defined]
        run_study(study, InProcess(dies))
    again = make_study(place, make_plan(place, PLAN, *OPTIONS))
    run_study(again, InProcess(noisy))
    assert again.folder.rows() == whole.folder.rows()


def make(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def test_repeats_of_several_workers_follow_from_their_rows(tmp_path: Path) -> None:
    class Threads:
        workers = processes = 3

        def __init__(self) -> None:
            self._pool = ThreadPoolExecutor(3)

        def submit(self, task: Task, label: str):  # type: ignore[no-untyped-def]
            return self._pool.submit(noisy, task, label)

        def start(self) -> None:
            """Nothing waits."""

    study = make_study(tmp_path, make_plan(tmp_path, PLAN, *OPTIONS, "workers=3"))
    search(study, Threads())  # type: ignore[arg-type]
    rows = study.folder.rows()
    assert Counter(row.kind for row in rows) == {"search": 9, "repeat": 6}
    assert check_proposals(study.plan, study.band, rows) == Checked(derived=15, unknown=0)


def test_the_one_that_can_change_the_front_is_repeated(make_row: MakeRow) -> None:
    rows = [make_row(width=16 + 8 * i, ordinal=i, final={"ap": ap}) for i, ap in enumerate((0.1, 0.2, 0.15, 0.5, 0.49))]
    known = trials(replace(row, cost={**row.cost, "macs": 1e9}) for row in rows)
    assert next_repeat(known, ["ap"], 7, [], []) in ((3, 8), (4, 8))
    first = next_repeat(known, ["ap"], 7, [], [])
    assert first is not None
    # In training already: the other one tells more.
    other = next_repeat(known, ["ap"], 7, [], [first])
    assert other is not None and {first[0], other[0]} == {3, 4}
    assert next_repeat([], ["ap"], 7, [], []) is None


def test_what_is_not_to_be_known_yet_is_not_used(make_row: MakeRow) -> None:
    rows = [make_row(width=16 + 8 * i, ordinal=i, final={"ap": 0.3 + i / 100}) for i in range(6)]
    rows += [make_row(width=16 + 8 * i, ordinal=i, kind="repeat", seed=1, final={"ap": 0.9}) for i in range(3)]
    searched = trials(row for row in rows if row.kind == "search")
    assert next_repeat(trials(rows), ["ap"], 0, [], []) == next_repeat(searched, ["ap"], 0, [], [])
