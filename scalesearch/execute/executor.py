"""`Executor`: takes tasks and returns futures. `InProcess` trains in this process; `processes` and `ray_executor`
have the other executors.

A future raises the exception that its training raised. A lost worker raises WorkerLostError for its task, which may be
sent again. A worker that cannot train any task raises UnfitWorkerError, which ends the study.
"""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, Protocol, TypeVar

from scalesearch.plan.task import Outcome, Task, TaskError

Answer = Outcome | Exception
"""What a worker sends back: the outcome of the training, or the exception that it raised."""


class WorkerLostError(ValueError):
    """The worker of the task was lost, with its process or its machine; the task may be sent again."""


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
        """Begin what was sent, where that waits for more: the driver sends nothing until a training ends."""

    def close(self) -> None:
        """Stop running trainings and release the workers."""


Payload = TypeVar("Payload")
Reply = TypeVar("Reply")


class InProcess(Generic[Payload, Reply]):
    """Trains one task at a time in this process; `submit` returns when it is done. Ctrl-C interrupts `submit`."""

    workers = processes = 1

    def __init__(self, train: Callable[[Payload, str], Reply]) -> None:
        self._train = train

    def submit(self, task: Payload, label: str) -> Future[Reply]:
        """Train the task now and return a resolved future."""
        done: Future[Reply] = Future()
        try:
            done.set_result(self._train(task, label))
        except Exception as error:  # noqa: BLE001  the driver judges it, as from any other worker
            done.set_exception(error)
        return done

    def start(self) -> None:
        """Do nothing: what was sent is trained."""

    def close(self) -> None:
        """Do nothing: no training is left running."""


def answer(
    train: Callable[[Payload], Reply], prepare: Callable[..., None], arguments: Any, task: Payload
) -> Reply | Exception:
    """Prepare the worker (`prepare(*arguments)` keeps its data open between calls), then train the task."""
    try:
        prepare(*arguments)
    except UnfitWorkerError as error:
        return error
    except Exception as error:  # noqa: BLE001  whatever it is, no other task would fare better here
        return UnfitWorkerError(f"a worker cannot be prepared: {type(error).__name__}: {error}")
    try:
        return train(task)
    except Exception as error:  # noqa: BLE001  the driver judges it
        return portable(error)


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
