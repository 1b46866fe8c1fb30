"""Workers that are processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from scalesearch.execute.executor import Payload, Reply, UnfitWorkerError, WorkerLostError, answer, prepared
from scalesearch.execute.pulse import BEAT, Pulse
from scalesearch.execute.site import Answered, Begun, Event, Gone, Place, WorkerReady
from scalesearch.execute.worker_executor import WorkerExecutor
from scalesearch.io.progress import displayed

_SPAWN = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
_VISIBLE = "CUDA_VISIBLE_DEVICES"


class LocalProcesses(WorkerExecutor[Payload, Reply]):
    """`workers` processes, each with its own data set, opened once by `prepare(*arguments)`.

    They run `train(task)`. Both are module-level functions. Workers take the `environments` in turn, such as
    CUDA_VISIBLE_DEVICES, and set theirs before they import torch; each is a place of its own. A worker ends itself when
    its driver has ended in any way, so that no two processes ever train one task.
    """

    def __init__(
        self,
        workers: int,
        train: Callable[[Payload], Reply],
        prepare: Callable[..., None],
        arguments: tuple[Any, ...],
        environments: Sequence[Mapping[str, str]] = ({},),
    ) -> None:
        super().__init__(_Machine(workers, pickle.dumps((train, prepare, arguments)), environments), workers)


class _Machine:
    """This machine: a place for each of the environments."""

    def __init__(self, workers: int, work: bytes, environments: Sequence[Mapping[str, str]]) -> None:
        self._work, self._environments = work, environments
        rooms = Counter(i % len(environments) for i in range(workers))
        self._places = [Place(str(i), _name(environments[i]), room) for i, room in sorted(rooms.items())]
        self._started: list[_LocalWorker] = []

    def places(self) -> Sequence[Place]:
        """Return the places, which never change."""
        return self._places

    def start(self, place: Place, tell: Callable[[Event], None]) -> _LocalWorker:
        """Start a process."""
        worker = _LocalWorker(self._work, self._environments[int(place.key)], tell)
        self._started = [*(one for one in self._started if one.process.is_alive()), worker]
        return worker

    def close(self) -> None:
        """Wait until all processes have ended."""
        for worker in self._started:
            worker.end()
            worker.process.join()


def _name(environment: Mapping[str, str]) -> str:
    return f"GPU {environment[_VISIBLE]}" if environment.get(_VISIBLE) else "this machine"


class _LocalWorker:
    """The driver's end of a worker process."""

    def __init__(self, work: bytes, environment: Mapping[str, str], tell: Callable[[Event], None]) -> None:
        self._pipe, theirs = _SPAWN.Pipe()
        self._tell, self._sent = tell, False
        self.process: SpawnProcess = _SPAWN.Process(
            target=_work, args=(theirs, os.getpid(), dict(environment), work), daemon=True
        )
        self.process.start()
        theirs.close()  # else the pipe would stay open when the process ends
        tell(Begun())
        threading.Thread(target=self._read, daemon=True).start()

    def train(self, task: Any) -> None:
        self._sent = True  # until the process says that it begins
        try:
            self._pipe.send(task)
        except OSError:  # it has ended, which `_read` tells
            return
        except Exception as error:  # noqa: BLE001  a task that cannot be pickled: every future must settle
            self._sent = False
            self._tell(Answered(error))

    def listen(self) -> None:
        """Do nothing: the process reports by itself."""

    def keep(self) -> None:
        """Do nothing: it trains in the task's own folder."""

    def end(self, *, hangs: bool = False) -> None:
        self.process.kill()

    def _read(self) -> None:
        """Tell what the process sends, and how it ends; runs in a thread of the driver."""
        while True:
            try:
                event = self._pipe.recv()
            except (EOFError, OSError):
                break
            except Exception as error:  # noqa: BLE001  an answer that cannot be unpickled
                event = Answered(error)
            if event == _BEGINS:
                self._sent = False
            else:
                self._tell(event)
        self.process.kill()
        self.process.join()  # its task may be sent again only when it writes no more
        code = self.process.exitcode or 0
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
        killed = " (out of memory? fewer --workers need less)" if code == -signal.SIGKILL else ""
        reason = f"worker process {self.process.pid} ended {how} during a task{killed}"
        self._tell(Gone(reason, untouched=self._sent))


# ---- in the process ----

_BEGINS = "begins"
"""Sent when a task has been received."""


def _work(pipe: Connection, driver: int, environment: Mapping[str, str], work: bytes) -> None:
    """Run a worker process: answer tasks from the pipe until the driver is gone."""
    # Ctrl-C reaches the whole process group: the driver handles it and ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(driver,), daemon=True).start()
    os.environ.update(environment)
    lock, pulse = threading.Lock(), Pulse()

    def tell(event: object) -> None:
        with lock:
            pipe.send(event)

    with contextlib.suppress(EOFError, ConnectionError):  # the driver is gone: end silently
        try:
            train, prepare, arguments = pickle.loads(work)  # imports torch, so the environment must be set before
        except Exception as error:  # noqa: BLE001  whatever it is, every other worker has it too
            tell(WorkerReady(UnfitWorkerError(f"a worker cannot be prepared: {type(error).__name__}: {error}")))
            return
        tell(WorkerReady(prepared(prepare, arguments)))
        threading.Thread(target=_report, args=(pulse, tell), daemon=True).start()
        while True:
            task = pipe.recv()
            tell(_BEGINS)
            pulse.begin()
            with displayed(pulse):
                result = answer(train, task)
            pulse.end()
            tell(Answered(result))
            if isinstance(result, WorkerLostError):
                return


def _report(pulse: Pulse, tell: Callable[[object], None]) -> None:
    """Tell the pulse now and again."""
    with contextlib.suppress(OSError):
        while True:
            tell(pulse.beat())
            time.sleep(BEAT)


def _end_with(driver: int) -> None:
    while os.getppid() == driver:
        time.sleep(0.2)
    os._exit(1)
