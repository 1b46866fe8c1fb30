"""What executors are tried with: checks of one, and a driver that sends lost tasks again."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path

import pytest

from scalesearch.execute.executor import Executor, WorkerLostError
from scalesearch.plan.task import Outcome, Task
from scalesearch.study.driver import run_study
from tests.studies import make_plan, make_study
from tests.trainings import HALT, Refused, tiny_task


def assert_nothing_lost_or_twice(folder: Path, executor: Executor, said: pytest.LogCaptureFixture) -> None:
    """A study through `executor` whose trainings are `die_once`."""
    study = make_study(folder, make_plan(folder))
    run_study(study, executor)
    rows = study.folder.rows()
    assert [row.ordinal for row in rows if row.kind == "search"] == list(range(12))
    assert len({row.spec_id for row in rows if row.kind == "search"}) == 12
    assert all(row.state == "complete" for row in rows)
    died = len(list(folder.glob("study/*.died")))
    assert died == sum(line.endswith("; sent again") for line in said.messages) >= 2


def lost_and_found(executor: Executor, task: Task) -> tuple[str, Outcome]:
    """How the task was lost, once, and what came out when it was sent again."""
    with pytest.raises(WorkerLostError) as caught:
        executor.submit(task, "").result(timeout=120)
    assert not caught.value.final
    return str(caught.value), executor.submit(task, "").result(timeout=120)


def worker_facts(executor: Executor, task: Task) -> dict[str, str]:
    """What `who` said."""
    return dict(
        zip(("pid", "gpus", "threads"), executor.submit(task, "").result(timeout=300).reason.split(), strict=True)
    )


def assert_refused(executor: Executor, folder: Path) -> None:
    with pytest.raises(Refused) as caught:
        executor.submit(tiny_task(folder), "").result(timeout=300)
    assert str(caught.value) == "no such detector"
    assert all("in refuse" in note for note in getattr(caught.value, "__notes__", []))


class Trials:
    """A small driver that sends every task, and lost ones again. The trainings halt in their middle until `finish`."""

    def __init__(self, executor: Executor, tasks: list[Task]) -> None:
        self._executor, self._tasks = executor, tasks
        self._halt = tasks[0].folder.parent / "halt"
        self._halt.touch()
        self._out: dict[Future[Outcome], int] = {}
        self._killed: set[int] = set()
        self.lost = 0
        self.done: dict[int, int] = {}
        """Task -> the epoch at which its last attempt began."""
        for number in range(len(tasks)):
            self._send(number)

    def _send(self, number: int) -> None:
        self._out[self._executor.submit(self._tasks[number], f"trial {number}")] = number

    def halted(self, workers: int) -> list[int]:
        """The processes of `workers` trainings, each of which waits in its middle."""
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            there = [pid for task in self._tasks if (pid := _halted(task)) and pid not in self._killed]
            if len(there) == workers:
                return there
            time.sleep(0.05)
        raise AssertionError(f"not just {workers} trainings came to their middle")

    def kill(self, worker: int) -> None:
        """As the kernel does when memory runs out."""
        self._killed.add(worker)
        os.kill(worker, signal.SIGKILL)

    def lose(self, tasks: int) -> None:
        """Waits until so many were lost since the beginning, and sends them again."""
        while self.lost < tasks:
            self._next()

    def finish(self) -> dict[int, int]:
        """Lets all go on, and waits for them; task -> the epoch at which its last attempt began."""
        self._halt.unlink()
        while self._out:
            self._next()
        return self.done

    def _next(self) -> None:
        done, _ = wait(self._out, timeout=300, return_when=FIRST_COMPLETED)
        assert done, f"tasks {sorted(self._out.values())} never ended"
        for future in done:
            number = self._out.pop(future)
            try:
                found = future.result()
            except WorkerLostError:
                self.lost += 1
                self._send(number)
            else:
                assert number not in self.done, "counted twice"
                self.done[number] = found.curve[0][0]


def _halted(task: Task) -> int:
    """The process that trains the task and waits in its middle; 0: none."""
    states = [*task.folder.glob("last.pt"), *task.folder.glob("attempt-*/last.pt")]
    if not any(state.read_text() == str(HALT) for state in states):
        return 0
    return int((task.folder / "begun").read_text().split()[-1])
