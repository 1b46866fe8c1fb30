"""Where trainings run, as the driver sees it: tasks go in, futures come out. In this process; `processes` and
`ray_executor` have the others.

What a training raises comes out of its future as it was raised. A worker that is gone is a WorkerLostError of that one
task, which may be sent again; a worker that could do no task at all is an UnfitWorkerError, which ends the study.
"""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

from scalesearch.plan.task import Outcome, Task, TaskError

Answer = Outcome | Exception
"""What a worker sends back: what came of the training, or what it raised."""


class WorkerLostError(ValueError):
    """The worker that had the task is gone, with its process or its machine; the task may be sent again."""


class UnfitWorkerError(TaskError):
    """A worker cannot train anything here: it lacks the data, the study's folder, or has other versions."""


class Executor(Protocol):
    """Trains tasks, at most `workers` at a time."""

    @property
    def workers(self) -> int:
        """How many trainings run at a time."""

    def submit(self, task: Task, label: str) -> Future[Outcome]:
        """Send a task; the label says which it is, for a progress bar."""

    def close(self) -> None:
        """Stop what runs and let the workers go."""


class InProcess:
    """One training at a time, here; `submit` returns when it is done. Ctrl-C comes out of `submit` itself."""

    workers = 1

    def __init__(self, train: Callable[[Task, str], Outcome]) -> None:
        self._train = train

    def submit(self, task: Task, label: str) -> Future[Outcome]:
        """Train now."""
        done: Future[Outcome] = Future()
        try:
            done.set_result(self._train(task, label))
        except Exception as error:  # noqa: BLE001  the driver's to judge, as that of any other worker
            done.set_exception(error)
        return done

    def close(self) -> None:
        """Nothing is left running."""


def answer(train: Callable[[Task], Outcome], prepare: Callable[..., None], arguments: Any, task: Task) -> Answer:
    """A worker's side of a task: prepared (`prepare(*arguments)` remembers what it has open), then trained."""
    try:
        prepare(*arguments)
    except UnfitWorkerError as error:
        return error
    except Exception as error:  # noqa: BLE001  whatever it is, no other task would fare better here
        return UnfitWorkerError(f"a worker cannot be prepared: {type(error).__name__}: {error}")
    try:
        return train(task)
    except Exception as error:  # noqa: BLE001  the driver's to judge
        return _portable(error)


def _portable(error: Exception) -> Exception:
    """The error with its traceback as a note; one that cannot be pickled as a RuntimeError that tells of it."""
    error.add_note(traceback.format_exc())
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001  an error may raise anything when it is made again
        told = RuntimeError(f"{type(error).__name__}: {error}")
        told.add_note(traceback.format_exc())
        return told
    return error


def resolve(future: Future[Outcome], result: Answer) -> None:
    """Puts the answer into the future."""
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
