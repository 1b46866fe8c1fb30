"""Local processes: the same study however trainings overlap, errors that come back, processes that end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scalesearch.plan.task import Outcome, Task
from scalesearch.search.driver import run, search
from scalesearch.search.executor import Executor, InProcess, LocalProcesses, WorkerLostError
from tests.search.conftest import FAMILY, PLAN, learn, make_plan, make_study

_slow = 0.0


def prepare(slow: float) -> None:
    """What a worker opens once."""
    global _slow
    _slow = slow


def work(task: Task) -> Outcome:
    """`learn`, the longer the dearer, so that trainings overtake each other."""
    time.sleep(_slow * (task.spec.width % 24))
    return learn(task, "")


def die(task: Task) -> Outcome:
    """A worker that the system kills."""
    os.kill(os.getpid(), signal.SIGKILL)
    return learn(task, "")


def sleep(task: Task) -> Outcome:
    """A training that says who trains it and does not end by itself."""
    (task.folder.parent.parent / "worker").write_text(str(os.getpid()))
    time.sleep(600)
    return learn(task, "")


class Lagging(InProcess):
    """One at a time, but with the lag of two workers: what two processes must equal."""

    workers = 2


@pytest.fixture
def pool() -> Iterator[Executor]:
    """Two workers."""
    executor = LocalProcesses(2, work, prepare, (0.01,))
    yield executor
    executor.close()


@pytest.mark.parametrize("text", [PLAN, FAMILY], ids=["spec", "family"])
def test_two_processes_give_the_rows_that_their_lag_gives_one_by_one(
    tmp_path: Path, pool: Executor, text: str
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one = make_study(tmp_path / "one", make_plan(tmp_path / "one", text))
    run(one, Lagging(learn), lambda line: None)
    two = make_study(tmp_path / "two", make_plan(tmp_path / "two", text))
    run(two, pool, lambda line: None)
    known = [[replace(row, seconds=0.0, reason="") for row in study.folder.rows()] for study in (one, two)]
    assert known[0] == known[1]


def test_a_worker_that_dies_is_one_line_for_the_user(tmp_path: Path) -> None:
    executor = LocalProcesses(1, die, prepare, (0.0,))
    with pytest.raises(WorkerLostError, match="the same command continues"):
        search(make_study(tmp_path, make_plan(tmp_path)), executor, lambda line: None)
    executor.close()


def test_closing_ends_the_workers(tmp_path: Path) -> None:
    study = make_study(tmp_path, make_plan(tmp_path))
    executor = LocalProcesses(1, sleep, prepare, (0.0,))
    spec = study.band.grid(()).members[0]
    task = Task(spec=spec, recipe=study.plan.recipe, seed=0, to_epoch=1, folder=tmp_path / "a" / "b")
    executor.submit(task, "")
    deadline = time.monotonic() + 60
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
