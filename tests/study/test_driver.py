"""The driver: what is trained, on what, in which order; interruptions; what is known already."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scalesearch.execute.executor import InProcess
from scalesearch.plan.task import OtherDeviceError, Outcome, Task
from scalesearch.records.row import Row
from scalesearch.study.driver import run_study
from scalesearch.study.study import Study
from tests.studies import FAMILY, make_latency_study, make_plan, make_study
from tests.trainings import learn, measure


def plain(rows: tuple[Row, ...]) -> list[Row]:
    """Rows without what differs between two equal runs."""
    return [replace(row, seconds=0.0, peak_memory=0, images_per_second=0.0, reason="") for row in rows]


def test_search_then_winners_on_val_then_baselines(study: Study, said: pytest.LogCaptureFixture) -> None:
    tasks: list[Task] = []

    def train(task: Task, label: str) -> Outcome:
        tasks.append(task)
        return learn(task, label)

    run_study(study, InProcess(train))
    rows = study.folder.rows()
    assert [row.kind for row in rows] == ["search"] * 12 + ["winner"] * 4 + ["baseline"] * 2
    assert [(t.train_on, t.evaluate_on) for t in tasks] == [("train", "select")] * 12 + [("train+select", "val")] * 6
    assert [t.seed for t in tasks[12:]] == [0] * 3 + [1] * 3  # one seed of each before the next of any
    assert {row.splits["evaluated"] for row in rows if row.kind == "search"} == {"b"}
    assert {row.splits["evaluated"] for row in rows if row.kind != "search"} == {"c"}
    winners = {row.spec_id for row in rows if row.kind == "winner"}
    best = max((row for row in rows if row.kind == "search"), key=lambda row: row.final["ap"] or 0)
    assert best.spec_id in winners and len(winners) == 2
    assert len(said.messages) == 18 and said.messages[0].startswith("trial 1/12: topology ")


@pytest.mark.parametrize("at", [0, 3, 7, 12, 15, 17])
def test_an_interrupted_study_continues_to_the_same_rows(tmp_path: Path, at: int) -> None:
    (tmp_path / "whole").mkdir(), (tmp_path / "cut").mkdir()  # type: ignore[func-returns-value]
    whole = make_study(tmp_path / "whole", make_plan(tmp_path / "whole"))
    run_study(whole, InProcess(learn))
    left = at

    def train(task: Task, label: str) -> Outcome:
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        return learn(task, label)

    cut = make_study(tmp_path / "cut", make_plan(tmp_path / "cut"))
    with cut.folder, pytest.raises(KeyboardInterrupt):
        run_study(cut, InProcess(train))
    assert len(cut.folder.rows()) == at
    again = make_study(tmp_path / "cut", make_plan(tmp_path / "cut"))
    run_study(again, InProcess(learn))
    assert plain(again.folder.rows()) == plain(whole.folder.rows())


def test_more_trials_go_on_where_fewer_ended(tmp_path: Path) -> None:
    few = make_study(tmp_path, make_plan(tmp_path))
    with few.folder:
        run_study(few, InProcess(learn))
    more = make_study(tmp_path, replace(few.plan, trials=15))
    begun = more.folder.path / "tasks" / "of-a-candidate-that-other-workers-had"
    begun.mkdir(parents=True)
    run_study(more, InProcess(learn))
    assert not begun.exists()
    assert [t.key for t in more.trials()][:12] == [t.key for t in few.trials()]
    assert len(more.trials()) == 15


def test_family_trials_score_the_mean_and_reuse_an_equal_member(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    study = make_study(tmp_path, make_plan(tmp_path, FAMILY))
    trained: list[str] = []

    def train(task: Task, label: str) -> Outcome:
        trained.append(task.spec.id)
        return learn(task, label)

    run_study(study, InProcess(train))
    trials = study.trials()
    assert len(trials) == 4
    for trial in trials:
        assert [row.member for row in trial.rows] == [0, 1]
        assert trial.value("ap") == pytest.approx(sum(row.final["ap"] or 0 for row in trial.rows) / 2)
    # At phi 0 all factors give one detector, trained once in the search.
    assert len({trial.key[0] for trial in trials}) == 1
    searched = [row for row in study.folder.rows() if row.kind == "search"]
    assert sum(row.reason == "known already" for row in searched) == 3
    assert len(trained) == 1 + 4 + 2  # the shared member, four others, and the two members of the best again


def test_a_failed_training_is_recorded_and_the_search_goes_on(study: Study, said: pytest.LogCaptureFixture) -> None:
    def train(task: Task, label: str) -> Outcome:
        if label == "trial 3/12":
            return Outcome(state="failed", reason="not finite", seconds=1.0, peak_memory=1, images_per_second=0.0)
        return learn(task, label)

    run_study(study, InProcess(train))
    trials = study.trials()
    assert [t.ordinal for t in trials if not t.complete] == [2]
    assert len(trials) == 12
    assert any("failed: not finite" in line for line in said.messages)


def test_what_a_training_has_to_say_is_said_once(study: Study, said: pytest.LogCaptureFixture) -> None:
    def train(task: Task, label: str) -> Outcome:
        return replace(learn(task, label), notes=(f"the loader took {task.spec.width / 10}% of the time",))

    run_study(study, InProcess(train))
    notes = [line for line in said.messages if line.startswith("  ")]
    # Of the search and of full training, whose recipe is another, the first of each.
    assert len(notes) == 2 and all(note.startswith("  the loader took ") for note in notes)
    assert said.messages.index(notes[0]) == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: Error code 12 (Cannot allocate memory)"),
            "out of memory: [",
        ),
        (OSError(12, "Cannot allocate memory"), "out of memory: [Errno 12]"),
        (MemoryError(), "out of memory: MemoryError"),
        (RuntimeError("sizes\n  differ"), "RuntimeError: sizes differ"),
        (ZeroDivisionError(), "ZeroDivisionError"),
    ],
)
def test_whatever_a_training_raises_is_its_rows_reason(
    study: Study, said: pytest.LogCaptureFixture, error: Exception, reason: str
) -> None:
    def train(task: Task, label: str) -> Outcome:
        if label == "trial 3/12":
            raise error
        return learn(task, label)

    run_study(study, InProcess(train))
    assert [trial.rows[0].reason[: len(reason)] for trial in study.trials() if trial.failed] == [reason]
    assert len(study.trials()) == 12


def test_a_candidate_that_cannot_be_measured_is_recorded_and_the_search_goes_on(
    tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    def train(task: Task, label: str) -> Outcome:
        if not task.latency:
            return learn(task, label)
        if task.spec.width > 40:
            raise MemoryError
        return measure(task)

    study = make_latency_study(tmp_path, make_plan(tmp_path))
    run_study(study, InProcess(train))
    wide = [trial for trial in study.trials() if trial.rows[0].spec.width > 40]
    assert wide and {trial.rows[0].reason for trial in wide} == {
        "its latency could not be measured: out of memory: MemoryError"
    }
    assert len(study.trials()) == 12


@pytest.mark.parametrize("at", [0, 1, 2, 9, 16])
def test_a_candidate_that_was_measured_is_not_measured_again(tmp_path: Path, at: int) -> None:
    """The driver ends between tasks, measurements among them."""
    (tmp_path / "whole").mkdir(), (tmp_path / "cut").mkdir()  # type: ignore[func-returns-value]
    began: list[tuple[str, bool]] = []

    def train(task: Task, label: str) -> Outcome:
        began.append((task.spec.id, bool(task.latency)))
        return measure(task) if task.latency else learn(task, label)

    whole = make_latency_study(tmp_path / "whole", make_plan(tmp_path / "whole"))
    run_study(whole, InProcess(train))
    wanted = began.copy()
    assert len({one for one, first in wanted if first}) == sum(first for _, first in wanted) == 12
    began.clear()

    def end(task: Task, label: str) -> Outcome:
        if len(began) == at:
            raise KeyboardInterrupt
        return train(task, label)

    cut = make_latency_study(tmp_path / "cut", make_plan(tmp_path / "cut"))
    with cut.folder, pytest.raises(KeyboardInterrupt):
        run_study(cut, InProcess(end))
    again = make_latency_study(tmp_path / "cut", make_plan(tmp_path / "cut"))
    run_study(again, InProcess(train))
    assert began == wanted and plain(again.folder.rows()) == plain(whole.folder.rows())


def test_on_another_device_latency_is_predicted_and_that_is_said_once(
    tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    def train(task: Task, label: str) -> Outcome:
        if task.latency:
            raise OtherDeviceError("its table is of Another Processor")
        return learn(task, label)

    study = make_latency_study(tmp_path, make_plan(tmp_path))
    run_study(study, InProcess(train))
    assert {trial.failed for trial in study.trials()} == {False}
    (line,) = [line for line in said.messages if "latency is" in line]
    assert line == "latency is predicted, not confirmed by measurement, since its table is of Another Processor"


def test_a_number_that_is_not_finite_is_a_failure(study: Study, said: pytest.LogCaptureFixture) -> None:
    def train(task: Task, label: str) -> Outcome:
        if label == "trial 3/12":
            return replace(learn(task, label), curve=((task.to_epoch, {"ap": float("nan")}),))
        return learn(task, label)

    run_study(study, InProcess(train))
    (failed,) = (trial for trial in study.trials() if trial.failed)
    assert failed.ordinal == 2 and failed.rows[0].reason.endswith("curve[0][1].ap is nan")
    assert len(study.trials()) == 12
