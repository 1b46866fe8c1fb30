"""Local worker processes. A worker that dies loses one task and is replaced."""

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
from typing import Any, Generic

from scalesearch.execute.executor import Payload, Reply, WorkerLostError, answer, settle

_SPAWN = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork


class LocalProcesses(Generic[Payload, Reply]):
    """`workers` processes, each with its own data set, opened once by `prepare(*arguments)`.

    They run `train(task)`. Both are module-level functions, and `prepare` may be called before every task. Worker i
    sets the environment variables `environments[i % len]`, such as CUDA_VISIBLE_DEVICES, before it imports torch. A
    worker ends itself when its driver has ended in any way, so that no two processes ever train one task.
    """

    def __init__(
        self,
        workers: int,
        train: Callable[[Payload], Reply],
        prepare: Callable[..., None],
        arguments: tuple[Any, ...],
        environments: Sequence[Mapping[str, str]] = ({},),
    ) -> None:
        self.workers = self.processes = workers
        self._work = pickle.dumps((train, prepare, arguments))
        self._environments = environments
        self._tasks: queue.SimpleQueue[tuple[Payload, Future[Reply]] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._processes: dict[int, SpawnProcess] = {}
        self._closed = False
        self._threads = [threading.Thread(target=self._serve, args=(i,), daemon=True) for i in range(workers)]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Payload, label: str) -> Future[Reply]:
        """Queue the task for the next free worker."""
        future: Future[Reply] = Future()
        self._tasks.put((task, future))
        return future

    def start(self) -> None:
        """Do nothing: what was sent begins by itself."""

    def close(self) -> None:
        """Kill the workers without waiting for their trainings; checkpoints stay."""
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
        """Send tasks to worker `index`, one after another; runs in a thread of the driver."""
        worker: Connection | None = None
        while (item := self._tasks.get()) is not None:
            task, future = item
            if self._closed or not future.set_running_or_notify_cancel():
                future.cancel()
                continue
            worker = worker if worker and self._processes[index].is_alive() else self._start(index)
            try:
                worker.send(task)
                result: Reply | Exception = worker.recv()
            except (EOFError, OSError):
                worker, result = None, self._gone(index)
            except Exception as error:  # noqa: BLE001  pickling or unpickling failed: every future must settle
                result = error
            settle(future, result)

    def _start(self, index: int) -> Connection:
        """Start a new process as worker `index` and return our end of the pipe to it."""
        ours, theirs = _SPAWN.Pipe()
        environment = dict(self._environments[index % len(self._environments)])
        process = _SPAWN.Process(target=_work, args=(theirs, os.getpid(), environment, self._work), daemon=True)
        with self._lock:
            if not self._closed:
                process.start()
                self._processes[index] = process
        theirs.close()  # else the pipe would stay open when the process ends
        return ours

    def _gone(self, index: int) -> WorkerLostError:
        """Wait for the process to end, so that its task can be resent, and return an error that says how it ended."""
        process = self._processes.get(index)
        if process is None or self._closed:
            return WorkerLostError("the workers were stopped")
        process.kill()
        process.join()
        code = process.exitcode or 0
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
        return WorkerLostError(
            f"worker process {process.pid} ended {how} during a training"
            + (" (out of memory? fewer --workers need less)" if code == -signal.SIGKILL else "")
        )


def _work(pipe: Connection, driver: int, environment: Mapping[str, str], work: bytes) -> None:
    """Run a worker process: answer tasks from the pipe until the driver is gone."""
    # Ctrl-C reaches the whole process group: the driver handles it and ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(driver,), daemon=True).start()
    os.environ.update(environment)
    train, prepare, arguments = pickle.loads(work)  # imports torch, so the environment must be set before
    with contextlib.suppress(EOFError, ConnectionError):  # the driver is gone: end silently
        while True:
            pipe.send(answer(train, prepare, arguments, pipe.recv()))


def _end_with(driver: int) -> None:
    while os.getppid() == driver:
        time.sleep(0.2)
    os._exit(1)
