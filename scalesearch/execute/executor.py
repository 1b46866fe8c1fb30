"""`Executor`: takes tasks and returns futures. `InProcess` trains in this process; `processes` and `ray_executor`
have the other executors, whose workers live long (`worker_executor`).

A future raises the exception that its training raised. A lost worker raises WorkerLostError for its task, which is sent
again unless the error is final. Where no worker can train any task, UnfitWorkerError ends the study.
"""

from __future__ import annotations

import pickle
import socket
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, Protocol, TypeVar

from scalesearch.execute.machine_faults import is_machine_fault
from scalesearch.plan.task import Outcome, Task, TaskError

Answer = Outcome | Exception
"""What a worker sends back: the outcome of the training, or the exception that it raised."""


class WorkerLostError(ValueError):
    """The worker of the task was lost, with its process or its machine, or its machine failed the training.

    The task is to be sent again; `final` where the training itself is to blame, so that it counts as failed.
    """

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


class UnfitWorkerError(TaskError):
    """A worker cannot train any task: it lacks the data or the study's folder, or has other versions."""


class Executor(Protocol):
    """Trains tasks, at most `workers` at a time."""

    @property
    def workers(self) -> int:
        """Number of trainings that run at a time."""

    @property
    def processes(self) -> int:
        """Number of processes that they run in."""

    def submit(self, task: Task, label: str) -> Future[Outcome]:
        """Send a task; `label` names it on a progress bar."""

    def start(self) -> None:
        """Begin what was sent, where that waits for more: the driver sends nothing until a training ends.

        At least one training of those begins; the driver calls this before each wait for an end.
        """

    def close(self) -> None:
        """Stop running trainings and release the workers."""


Payload = TypeVar("Payload")
Reply = TypeVar("Reply")


_Given_contra = TypeVar("_Given_contra", contravariant=True)


class Successor(Protocol[_Given_contra, Reply]):
    """What trains in place of another executor."""

    def submit(self, task: _Given_contra, label: str) -> Future[Reply]:
        """Send a task."""

    def start(self) -> None:
        """Begin what was sent, where that waits for more."""

    def close(self) -> None:
        """Stop running trainings and release the workers."""


class InProcess(Generic[Payload, Reply]):
    """Trains one task at a time in this process; `submit` returns when it is done. Ctrl-C interrupts `submit`.

    A fault of the machine may leave this process unable to train, as an illegal access on a GPU does. Then `instead`
    makes the executor that trains from there on.
    """

    workers = processes = 1

    def __init__(
        self,
        train: Callable[[Payload, str], Reply],
        instead: Callable[[], Successor[Payload, Reply]] | None = None,
    ) -> None:
        self._train, self._make = train, instead
        self._instead: Successor[Payload, Reply] | None = None

    def submit(self, task: Payload, label: str) -> Future[Reply]:
        """Train the task now and return a resolved future; once another executor trains, its future."""
        if self._instead:
            return self._instead.submit(task, label)
        done: Future[Reply] = Future()
        result: Reply | Exception
        try:
            result = self._train(task, label)
            fault = fault_among(result)
        except Exception as error:  # noqa: BLE001  the driver judges it, as from any other worker
            result, fault = error, error if is_machine_fault(error) else None
        if fault and self._make:
            self._instead = self._make()
            result = WorkerLostError(f"{_fault_text(fault)}; trainings go on in a process of their own")
        settle(done, result)
        return done

    def start(self) -> None:
        """Start the executor that took over; here what was sent is trained."""
        if self._instead:
            self._instead.start()

    def close(self) -> None:
        """Close the executor that took over; no training is left running here."""
        if self._instead:
            self._instead.close()


# ---- in a worker ----


def prepared(prepare: Callable[..., None], arguments: Any) -> UnfitWorkerError | None:
    """Prepare a worker, once, by `prepare(*arguments)`, which opens its data; return why it is not fit."""
    try:
        prepare(*arguments)
    except UnfitWorkerError as error:
        return error
    except Exception as error:  # noqa: BLE001  whatever it is, no task would fare better here
        return UnfitWorkerError(f"a worker cannot be prepared: {type(error).__name__}: {error}")
    return None


def answer(train: Callable[[Payload], Reply], task: Payload) -> Reply | Exception:
    """Train the task; a fault of the machine is answered by a WorkerLostError, after which the worker must end."""
    try:
        reply = train(task)
    except UnfitWorkerError as error:
        return error
    except Exception as error:  # noqa: BLE001  the driver judges it
        return WorkerLostError(_fault_text(error)) if is_machine_fault(error) else portable(error)
    fault = fault_among(reply)
    return WorkerLostError(_fault_text(fault)) if fault else reply


def fault_among(reply: object) -> Exception | None:
    """Return a machine's fault among the answers to several tasks: the process would fail the next ones, too."""
    answers = reply if isinstance(reply, list) else []
    return next((one for one in answers if isinstance(one, Exception) and is_machine_fault(one)), None)


def _fault_text(error: Exception) -> str:
    """Return a machine's fault in one line."""
    lines = str(error).strip().splitlines() or [""]
    return f"its machine {socket.gethostname()} failed it ({type(error).__name__}: {lines[0]})"


def portable(error: Exception) -> Exception:
    """Add the traceback as a note to the error; one that cannot be pickled becomes a RuntimeError with its text."""
    told = "".join(traceback.format_exception(error))
    error.add_note(told)
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001  an error may raise anything when it is unpickled
        plain = RuntimeError(f"{type(error).__name__}: {error}")
        plain.add_note(told)
        return plain
    return error


def settle(future: Future[Reply], result: Reply | Exception) -> None:
    """Set the result or the exception of the future."""
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
