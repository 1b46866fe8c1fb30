"""Where trainings run: in this process, or in local processes. The driver sees futures either way."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol

from scalesearch.plan.task import Outcome, Task


class WorkerLostError(ValueError):
    """A worker process died under a training."""


class Executor(Protocol):
    """Trains tasks, at most `workers` at a time."""

    @property
    def workers(self) -> int:
        """How many trainings run at a time."""

    def submit(self, task: Task, label: str) -> Future[Outcome]:
        """Send a task; the label says which it is, for a progress bar."""

    def close(self) -> None:
        """Stop what runs and let the processes go."""


class InProcess:
    """One training at a time, here; `submit` returns when it is done. An interruption comes out of it at once."""

    workers = 1

    def __init__(self, train: Callable[[Task, str], Outcome]) -> None:
        self._train = train

    def submit(self, task: Task, label: str) -> Future[Outcome]:
        """Train now."""
        done: Future[Outcome] = Future()
        try:
            done.set_result(self._train(task, label))
        except Exception as error:  # noqa: BLE001  what it raises is its future's
            done.set_exception(error)
        return done

    def close(self) -> None:
        """Nothing is left running."""


class LocalProcesses:
    """Processes of this machine, each with a data set of its own opened once by `prepare(*arguments)`.

    `train(task)` runs in them; both are module-level functions. A worker ends itself when its driver is gone, however
    that ended, so that no two processes ever train one task.
    """

    def __init__(
        self, workers: int, train: Callable[[Task], Outcome], prepare: Callable[..., None], arguments: tuple[Any, ...]
    ) -> None:
        self.workers, self._train = workers, train
        context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
        started = (os.getpid(), prepare, arguments)
        self._pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=started)
        self._broken = False

    def submit(self, task: Task, label: str) -> Future[Outcome]:
        """Queue the task for the next free worker. WorkerLostError where one has died."""
        try:
            return self._pool.submit(self._train, task)
        except BrokenProcessPool:
            raise lost() from None

    def close(self) -> None:
        """Ends the workers without waiting for their trainings; what was checkpointed stays."""
        processes = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()


def lost() -> WorkerLostError:
    """The error for a worker that died."""
    return WorkerLostError(
        "a worker process died under a training (out of memory?); the same command continues, with fewer workers "
        "by `workers` in the plan"
    )


def _start(driver: int, prepare: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    # Ctrl-C goes to the whole group of processes: the driver hears it and ends us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(driver,), daemon=True).start()
    prepare(*arguments)


def _end_with(driver: int) -> None:
    while os.getppid() == driver:
        time.sleep(0.2)
    os._exit(1)
