"""What a `WorkerExecutor` knows of its workers and of their tasks."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from scalesearch.execute.losses import Tasks
from scalesearch.execute.pulse import Beat
from scalesearch.execute.site import Place, Worker
from scalesearch.execute.together import Trainable, tasks_of


@dataclass
class QueuedWork:
    """A task, or several that are trained together, on the way to a worker."""

    task: Trainable
    label: str
    future: Future[Any]

    @property
    def tasks(self) -> Tasks:
        return tasks_of(self.task)


@dataclass(eq=False)
class Hired:
    """A worker as the executor knows it; times are of the executor's clock."""

    place: Place
    slot: int
    since: float
    """When it was started."""
    worker: Worker = field(init=False)
    begun: bool = False
    ready: bool = False
    sent: QueuedWork | None = None
    beat: Beat = field(default_factory=Beat)
    heard: float = 0.0
    fault: str = ""
    """Why it is being ended."""
