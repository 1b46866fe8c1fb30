"""What stands for trainings, in this process and in workers: each worker process imports this module, so it imports little."""

from __future__ import annotations

import math
import os
import signal
import time
from pathlib import Path

from scalesearch.arch.scaling import named
from scalesearch.cost.price import price
from scalesearch.execute.executor import Answer, UnfitWorkerError
from scalesearch.execute.together import TaskGroup
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.task import Outcome, Task

EPOCH = 0.1
"""Seconds."""
HALT = 2
_slow = 0.0


def learn(task: Task, label: str) -> Outcome:
    """AP grows with cost, falls with the distance from width 40, and wobbles with the seed."""
    cost = price(task.spec)
    ap = math.log10(cost.macs) / 20 - abs(task.spec.width - 40) / 400 + task.seed / 100
    curve = ((task.to_epoch, {"ap": ap, "ap50": 2 * ap, "ap_large": None}),)
    return Outcome(state="complete", curve=curve, seconds=1.0, peak_memory=1, images_per_second=10.0)


def measure(task: Task) -> Outcome:
    """What is wider than 40 is measured outside its band."""
    slow = task.spec.width > 40
    return Outcome(
        state="failed" if slow else "complete",
        reason="latency 30 ms is 50% over 20 ms" if slow else "",
        seconds=0.0,
        peak_memory=0,
        images_per_second=0.0,
    )


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
    """What a worker opens once: how slow its `work` is."""
    global _slow
    _slow = slow


def work(task: Task) -> Outcome:
    """`learn`, slower for costlier detectors, so that trainings overtake each other."""
    time.sleep(_slow * (task.spec.width % 24))
    return learn(task, "")


def sleep(task: Task) -> Outcome:
    """A training that says who trains it and does not end by itself."""
    (task.folder.parent.parent / "worker").write_text(str(os.getpid()))
    time.sleep(600)
    return learn(task, "")


def learn_all(group: TaskGroup) -> list[Answer]:
    """`learn` for each; a task whose seed is odd raises."""
    return [ValueError(f"seed {task.seed}") if task.seed % 2 else learn(task, "") for task in group.tasks]


def die(group: TaskGroup) -> list[Answer]:
    """Kills its worker where a task of width 9 is among the group, after it has written the group's size."""
    first = group.tasks[0].folder
    with open(first.parent / "sizes", "a") as file:
        file.write(f"{len(group.tasks)}\n")
    if any(task.spec.width == 9 for task in group.tasks):
        os.kill(os.getpid(), signal.SIGKILL)
    return learn_all(group)


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
