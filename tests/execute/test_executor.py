"""Local processes: the same study however trainings overlap, errors that come back, processes that end."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scalesearch.execute import processes, pulse
from scalesearch.execute.executor import Executor, InProcess, UnfitWorkerError, WorkerLostError
from scalesearch.execute.processes import LocalProcesses
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.task import Task
from scalesearch.records.row import Row
from scalesearch.study.check import check_proposals
from scalesearch.study.driver import run_study
from tests.displays import watched
from tests.execute.workers import Trials, assert_nothing_lost_or_twice, assert_refused, lost_and_found, worker_facts
from tests.studies import FAMILY, PLAN, make_plan, make_study
from tests.trainings import (
    count,
    die_once,
    fall_sick,
    hang,
    learn,
    meet,
    prepared,
    refuse,
    sleep,
    stick,
    tiny_task,
    unfit,
    who,
    work,
)


@pytest.fixture
def pool() -> Iterator[Executor]:
    """Two workers."""
    executor = LocalProcesses(2, work, prepared, (0.01,))
    yield executor
    executor.close()


@pytest.mark.parametrize("text", [PLAN, FAMILY], ids=["spec", "family"])
def test_two_processes_give_rows_that_follow_from_what_they_were_told(
    tmp_path: Path, pool: Executor, text: str
) -> None:
    study = make_study(tmp_path, make_plan(tmp_path, text))
    steps: list[tuple[int, int, str]] = []
    with watched(lambda *step: steps.append(step)):
        run_study(study, pool)
    assert steps[0][0] == 0 and steps[-1][0] == steps[-1][1]
    rows = study.folder.rows()
    assert check_proposals(study.plan, study.band, rows) == (study.plan.trials, 0)
    # One worker by the same plan gives other candidates, each with the result that it has here.
    assert {row.state for row in rows} == {"complete"} and all(row.final["ap"] == _ap(row) for row in rows)


def _ap(row: Row) -> float | None:
    task = Task(spec=row.spec, recipe=Recipe(epochs=1), seed=row.seed, to_epoch=1, folder=Path("none"))
    return learn(task, "").curve[-1][1]["ap"]


def test_killed_workers_cost_one_task_each_and_are_replaced(tmp_path: Path) -> None:
    executor = LocalProcesses(4, count, prepared, (0.0,))
    try:
        trial = Trials(executor, [tiny_task(tmp_path / str(i), epochs=12) for i in range(10)])
        for worker in trial.halted(4)[1:3]:
            trial.kill(worker)
        done = trial.finish()
    finally:
        executor.close()
    assert trial.lost == 2
    assert len(done) == 10
    # The lost two went on from their last checkpoint; the others began at the beginning and ran once.
    assert sorted(began > 0 for began in done.values()) == [False] * 8 + [True] * 2
    assert all((tmp_path / str(i) / "begun").read_text().count("\n") == 1 + (done[i] > 0) for i in range(10))


def test_a_study_whose_workers_are_killed_loses_nothing(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    executor = LocalProcesses(2, die_once, prepared, (0.0,))
    try:
        assert_nothing_lost_or_twice(tmp_path, executor, said)
    finally:
        executor.close()


def test_a_worker_that_died_idle_costs_nothing(tmp_path: Path) -> None:
    executor = LocalProcesses(1, who, prepared, (0.0,))
    try:
        first = worker_facts(executor, tiny_task(tmp_path))["pid"]
        os.kill(int(first), signal.SIGKILL)
        assert worker_facts(executor, tiny_task(tmp_path))["pid"] != first
    finally:
        executor.close()


def test_a_sick_process_ends_and_its_task_goes_to_another(tmp_path: Path) -> None:
    executor = LocalProcesses(1, fall_sick, prepared, (0.0,))
    try:
        lost, found = lost_and_found(executor, tiny_task(tmp_path / "task"))
    finally:
        executor.close()
    assert lost.endswith("failed it (RuntimeError: CUDA error: an illegal memory access was encountered)")
    assert found.reason != (tmp_path / "sick").read_text()


def test_workers_that_hang_are_ended_and_their_tasks_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process is stopped as a whole; the other answers, but its training stands still past its time limit."""
    monkeypatch.setattr(pulse, "SILENT", 12.0)
    monkeypatch.setattr(pulse, "LEAST_GRACE", 1.0)
    executor = LocalProcesses(2, hang, prepared, (0.0,))
    try:
        stopped = executor.submit(tiny_task(tmp_path / "stopped"), "")
        still = replace(tiny_task(tmp_path / "still"), time_limit=1.0)
        lost, _ = lost_and_found(executor, still)
        assert lost.startswith("a worker on this machine hung: no progress for ")
        assert lost.endswith(" past its time_limit of 1 s")
        with pytest.raises(WorkerLostError, match="^a worker on this machine did not answer for "):
            stopped.result(timeout=120)
    finally:
        executor.close()


def test_this_process_leaves_training_to_another_once_its_gpu_fails_it(tmp_path: Path) -> None:
    made: list[LocalProcesses] = []

    def processes() -> Executor:
        made.append(LocalProcesses(1, who, prepared, (0.0,)))
        return made[-1]

    executor = InProcess(lambda task, label: fall_sick(task), instead=processes)
    try:
        lost, found = lost_and_found(executor, tiny_task(tmp_path / "task"))
    finally:
        executor.close()
    assert lost.endswith("; trainings go on in a process of their own")
    assert found.reason.split()[0] != str(os.getpid()) and len(made) == 1


def test_workers_have_their_environment_before_they_import_anything_in_turn(tmp_path: Path) -> None:
    environments = [{"CUDA_VISIBLE_DEVICES": name} for name in ("4", "7")]
    executor = LocalProcesses(3, meet, prepared, (0.3,), environments)
    try:
        seen = [executor.submit(tiny_task(tmp_path / str(i)), "") for i in range(3)]
        found = sorted(future.result().reason.split()[1] for future in seen)
    finally:
        executor.close()
    assert found == ["4", "4", "7"]


def test_what_a_training_raises_comes_out_as_it_was(tmp_path: Path) -> None:
    for executor in (LocalProcesses(1, refuse, prepared, (0.0,)), InProcess(lambda task, label: refuse(task))):
        try:
            assert_refused(executor, tmp_path)
        finally:
            executor.close()
    executor = LocalProcesses(1, stick, prepared, (0.0,))
    with pytest.raises(RuntimeError, match="Sticky: not for pickle"):
        executor.submit(tiny_task(tmp_path), "").result()
    executor.close()


def test_a_worker_that_cannot_be_prepared_says_so(tmp_path: Path) -> None:
    executor = LocalProcesses(1, count, unfit, ())
    with pytest.raises(UnfitWorkerError, match="a worker cannot be prepared: OSError: no such disk"):
        executor.submit(tiny_task(tmp_path), "").result()
    executor.close()


def test_a_worker_whose_driver_is_gone_ends_without_a_word(tmp_path: Path) -> None:
    ours, theirs = processes._SPAWN.Pipe()
    sent = pickle.dumps((who, prepared, (0.0,)))
    worker = processes._SPAWN.Process(target=processes._work, args=(theirs, os.getpid(), {}, sent))
    worker.start()
    theirs.close()
    ours.send(tiny_task(tmp_path))
    ours.close()
    worker.join(60)
    assert worker.exitcode == 0  # 1 after a traceback


def test_closing_ends_the_workers(tmp_path: Path) -> None:
    study = make_study(tmp_path, make_plan(tmp_path))
    executor = LocalProcesses(1, sleep, prepared, (0.0,))
    spec = study.band.grid(()).members[0]
    task = Task(spec=spec, recipe=study.plan.recipe, seed=0, to_epoch=1, folder=tmp_path / "a" / "b")
    executor.submit(task, "")
    deadline = time.monotonic() + 300
    while not (tmp_path / "worker").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    worker = int((tmp_path / "worker").read_text())
    executor.close()
    while time.monotonic() < deadline:
        try:
            os.waitpid(worker, os.WNOHANG)
            os.kill(worker, 0)
        except (ProcessLookupError, ChildProcessError):
            break
        time.sleep(0.05)
    else:
        pytest.fail("the worker outlived its executor")
