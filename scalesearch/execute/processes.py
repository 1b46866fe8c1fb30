"""Local processes: independent workers of this machine. One that dies costs one task and is replaced."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import queue
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from scalesearch.execute.executor import Answer, WorkerLostError, answer, resolve
from scalesearch.plan.task import Outcome, Task

_SPAWN = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork


class LocalProcesses:
    """`workers` processes, each with a data set of its own opened once by `prepare(*arguments)`.

    `train(task)` runs in them; both are module-level functions, and `prepare` may be called before every task. Worker i
    has the variables `environments[i % len]` set before it imports torch, such as CUDA_VISIBLE_DEVICES. A worker ends
    itself when its driver is gone, however that ended, so that no two processes ever train one task.
    """

    def __init__(
        self,
        workers: int,
        train: Callable[[Task], Outcome],
        prepare: Callable[..., None],
        arguments: tuple[Any, ...],
        environments: Sequence[Mapping[str, str]] = ({},),
    ) -> None:
        self.workers = workers
        self._work = pickle.dumps((train, prepare, arguments))
        self._environments = environments
        self._tasks: queue.SimpleQueue[tuple[Task, Future[Outcome]] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._processes: dict[int, SpawnProcess] = {}
        self._closed = False
        self._threads = [threading.Thread(target=self._serve, args=(i,), daemon=True) for i in range(workers)]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Task, label: str) -> Future[Outcome]:
        """Queue the task for the next free worker."""
        future: Future[Outcome] = Future()
        self._tasks.put((task, future))
        return future

    def close(self) -> None:
        """Ends the workers without waiting for their trainings; what was checkpointed stays."""
        with self._lock:
            self._closed = True
            for process in self._processes.values():
                process.kill()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()
        for process in self._processes.values():
            process.join()

    def _serve(self, index: int) -> None:
        """Hands tasks to worker `index`, one after another; a thread of the driver's."""
        worker: Connection | None = None
        while (item := self._tasks.get()) is not None:
            task, future = item
            if self._closed or not future.set_running_or_notify_cancel():
                future.cancel()
                continue
            worker = worker if worker and self._processes[index].is_alive() else self._start(index)
            try:
                worker.send(task)
                result: Answer = worker.recv()
            except (EOFError, OSError):
                worker, result = None, self._gone(index)
            except Exception as error:  # noqa: BLE001  cannot be pickled, or made again here: a future always ends
                result = error
            resolve(future, result)

    def _start(self, index: int) -> Connection:
        """A new process at this place, and our end of the pipe to it."""
        ours, theirs = _SPAWN.Pipe()
        environment = dict(self._environments[index % len(self._environments)])
        process = _SPAWN.Process(target=_work, args=(theirs, os.getpid(), environment, self._work), daemon=True)
        with self._lock:
            if not self._closed:
                process.start()
                self._processes[index] = process
        theirs.close()  # else the end of the process would not be the end of the pipe
        return ours

    def _gone(self, index: int) -> WorkerLostError:
        """Waits for the end of the process, so that its task can be sent again, and says how it ended."""
        process = self._processes.get(index)
        if process is None or self._closed:
            return WorkerLostError("the workers were stopped")
        process.kill()
        process.join()
        code = process.exitcode or 0
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
        return WorkerLostError(
            f"worker process {process.pid} ended {how} under a training"
            + (" (out of memory? fewer --workers need less)" if code == -signal.SIGKILL else "")
        )


def _work(pipe: Connection, driver: int, environment: Mapping[str, str], work: bytes) -> None:
    """The life of a worker process."""
    # Ctrl-C goes to the whole group of processes: the driver hears it and ends us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(driver,), daemon=True).start()
    os.environ.update(environment)
    train, prepare, arguments = pickle.loads(work)  # which imports torch: not before the environment is there
    with contextlib.suppress(EOFError, ConnectionError):  # the driver is gone; so are we, without a word
        while True:
            pipe.send(answer(train, prepare, arguments, pipe.recv()))


def _end_with(driver: int) -> None:
    while os.getppid() == driver:
        time.sleep(0.2)
    os._exit(1)
