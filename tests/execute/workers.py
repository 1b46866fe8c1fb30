"""What executors are tried with: trainings that take tenths of seconds, and a driver that sends lost tasks again."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path

import pytest

from scalesearch.arch.scaling import named
from scalesearch.execute.executor import Answer, Executor, UnfitWorkerError, WorkerLostError
from scalesearch.execute.together import TaskGroup
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.task import Outcome, Task
from scalesearch.study.driver import run_study
from tests.studies import learn, make_plan, make_study

EPOCH = 0.1
"""Seconds."""
HALT = 2


def tiny_task(folder: Path, epochs: int = 1) -> Task:
    return Task(spec=named("d0"), recipe=Recipe(epochs=epochs), seed=0, to_epoch=epochs, folder=folder)


def outcome(reason: str = "", began: int = 0) -> Outcome:
    curve = ((began, {"ap": 0.5}),)
    return Outcome(state="complete", reason=reason, curve=curve, seconds=1.0, peak_memory=1, images_per_second=1.0)


def root(task: Task) -> Path:
    """The task's own folder, whichever the attempt's is."""
    return task.folder.parent if task.folder.name.startswith("attempt") else task.folder


def count(task: Task) -> Outcome:
    """A training whose checkpoint is the number of its epoch; the curve says at which it began.

    While a file `halt` lies beside its folder it does not get beyond epoch `HALT`, however fast the machine is.
    """
    task.folder.mkdir(parents=True, exist_ok=True)
    with open(root(task) / "begun", "a") as file:
        file.write(f"{os.getpid()}\n")
    state = task.folder / "last.pt"
    began = epoch = int(state.read_text()) if state.exists() else 0
    while epoch < task.to_epoch:
        time.sleep(EPOCH)
        if epoch == HALT and (root(task).parent / "halt").exists():
            continue
        epoch += 1
        aside = state.with_suffix(".part")
        aside.write_text(str(epoch))
        aside.rename(state)
    return outcome(began=began)


def die_once(task: Task) -> Outcome:
    """`learn`, but the first attempt at every third width kills its worker."""
    if task.spec.width % 3 == 0:
        died = root(task).parent.parent / f"{root(task).name}.died"
        if not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return learn(task, "")


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


def who(task: Task) -> Outcome:
    """Says which process trains, what it sees, and on how many threads."""
    time.sleep(0.3)
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "none") or "empty"
    return outcome(f"{os.getpid()} {seen} {os.environ.get('OMP_NUM_THREADS')}")


def meet(task: Task) -> Outcome:
    """As `who`, when three processes train at a time: none takes the task of another."""
    (root(task).parent / f"{os.getpid()}.here").touch()
    while len(list(root(task).parent.glob("*.here"))) < 3:
        time.sleep(0.02)
    return who(task)


def fall_sick(task: Task) -> Outcome:
    """The first process that trains has a GPU's sticky error, now and ever after; others train."""
    sick = root(task).parent / "sick"
    try:
        with open(sick, "x") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        pass
    if sick.read_text() in ("", str(os.getpid())):
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be ...")
    return outcome(str(os.getpid()))


def hang(task: Task) -> Outcome:
    """Hangs in its first attempt: as a process that is stopped, or as a training that makes no progress."""
    root(task).mkdir(exist_ok=True)
    if not (before := root(task) / "hung").exists():
        before.touch()
        if root(task).name == "stopped":
            os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(600)
    return outcome()


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


class Refused(Exception):
    """An error of the training's own."""


def refuse(task: Task) -> Outcome:
    raise Refused("no such detector")


class Sticky(Exception):
    """An error that cannot be unpickled."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


def stick(task: Task) -> Outcome:
    raise Sticky("not for", "pickle")


def unfit() -> None:
    raise OSError("no such disk")


def prepared(slow: float) -> None:
    """Nothing to open."""


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


# ---- on a cluster ----


def here() -> str:
    """The node that this process is a worker of."""
    import ray

    return str(ray.get_runtime_context().get_node_id())


def prepare_counted(folder: Path) -> None:
    """Notes the process that is prepared; a node named in `unfit` cannot be."""
    with open(folder / "prepared", "a") as file:
        file.write(f"{os.getpid()} {here()}\n")
    if (unfit := folder / "unfit").exists() and unfit.read_text() == here():
        raise UnfitWorkerError("a worker lacks the data")


def count_all(group: TaskGroup) -> list[Answer]:
    """`count` for each."""
    return [count(task) for task in group.tasks]


def count_sick(task: Task) -> Outcome:
    """`count`, but the node named in `sick` has a GPU that fails every training."""
    sick = root(task).parent / "sick"
    if sick.exists() and sick.read_text() == here():
        with open(root(task).parent / "failed", "a") as file:
            file.write(f"{root(task).name}\n")
        raise RuntimeError("CUDA error: unspecified launch failure")
    return count(task)
