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
from typing import Any, Protocol

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

    def submit(self, task: Task, label: str) -> Future[Outcome]:
        """Send a task; `label` names it on a progress bar."""

    def close(self) -> None:
        """Stop running trainings and release the workers."""


class InProcess:
    """Trains one task at a time in this process; `submit` returns when it is done. Ctrl-C interrupts `submit`."""

    workers = 1

    def __init__(self, train: Callable[[Task, str], Outcome]) -> None:
        self._train = train

    def submit(self, task: Task, label: str) -> Future[Outcome]:
        """Train the task now and return a resolved future."""
        done: Future[Outcome] = Future()
        try:
            done.set_result(self._train(task, label))
        except Exception as error:  # noqa: BLE001  the driver judges it, as from any other worker
            done.set_exception(error)
        return done

    def close(self) -> None:
        """Do nothing: no training is left running."""


def answer(train: Callable[[Task], Outcome], prepare: Callable[..., None], arguments: Any, task: Task) -> Answer:
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
        return _portable(error)


def _portable(error: Exception) -> Exception:
    """Add the traceback as a note to the error; one that cannot be pickled becomes a RuntimeError with its text."""
    error.add_note(traceback.format_exc())
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001  an error may raise anything when it is unpickled
        portable = RuntimeError(f"{type(error).__name__}: {error}")
        portable.add_note(traceback.format_exc())
        return portable
    return error


def settle(future: Future[Outcome], result: Answer) -> None:
    """Set the result or the exception of the future."""
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
