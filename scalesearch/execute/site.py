"""What an executor asks of the place that its workers run in: `Site`, `Worker`, and the events that a worker tells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from scalesearch.execute.executor import UnfitWorkerError
from scalesearch.execute.pulse import Beat


class Place(NamedTuple):
    """Where workers run and may be lost together: a node of a cluster, a GPU of this machine."""

    key: str
    name: str
    """As messages name it."""
    room: int
    """Number of workers that fit."""
    machine: str = ""
    """What it shares with other places: their workers have the same processors."""


class Begun(NamedTuple):
    """The worker has its process."""


class WorkerReady(NamedTuple):
    """The worker has been prepared; `unfit` says why it cannot train."""

    unfit: UnfitWorkerError | None


class Answered(NamedTuple):
    """The worker has trained its task."""

    answer: Any
    """Its reply, or an exception."""


class Gone(NamedTuple):
    """The worker has ended, in whatever way: nothing of it runs any more, or nothing that it writes counts."""

    reason: str
    untouched: bool = False
    """Whether its last task never began there."""


Event = Begun | WorkerReady | Beat | Answered | Gone


class Worker(Protocol):
    """A process that trains one task at a time. It tells its events; a WorkerReady comes once, a Gone last."""

    def train(self, task: Any) -> None:
        """Begin to train a task, or several together."""

    def listen(self) -> None:
        """Ask for the next Beat, where it must be asked for."""

    def keep(self) -> None:
        """Put the files of the task that it has answered into the task's folder. Raises OSError."""

    def end(self, *, hangs: bool = False) -> None:
        """End the process by force, without waiting; Gone follows. `hangs`: it may not answer what asks it to end."""


class Site(Protocol):
    """Starts workers."""

    def places(self) -> Sequence[Place]:
        """Return the places that are there now. Raises where none can be known any more."""

    def start(self, place: Place, tell: Callable[[Event], None]) -> Worker:
        """Start a worker, which calls `tell` from any thread."""

    def close(self) -> None:
        """Release what the site holds, when all workers are told to end."""
