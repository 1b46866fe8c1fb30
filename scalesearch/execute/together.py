"""Tasks that one worker trains together, since they share a frozen backbone. May import plan."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from scalesearch.execute.executor import Answer, WorkerLostError, settle
from scalesearch.plan.task import Outcome, Task

LOSSES = 2
"""Lost workers after which a task is trained alone, so that one that kills its workers fails alone."""


@dataclass(frozen=True)
class TaskGroup:
    """Tasks of one trunk (`Task.trunk`), or a single task."""

    tasks: tuple[Task, ...]

    @property
    def time_limit(self) -> float | None:
        """Seconds that all may take."""
        limits = [task.time_limit for task in self.tasks]
        return sum(limit for limit in limits if limit) if all(limits) else None


Trainable = Task | TaskGroup
"""What a worker trains at a time."""


def tasks_of(sent: Trainable) -> tuple[Task, ...]:
    """Return the task, or those of the group."""
    return sent.tasks if isinstance(sent, TaskGroup) else (sent,)


class GroupExecutor(Protocol):
    """Trains groups, each in one of its workers; the answers are in the order of the tasks."""

    @property
    def workers(self) -> int:
        """Number of groups that are trained at a time."""

    def submit(self, task: TaskGroup, label: str) -> Future[list[Answer]]:
        """Send a group."""

    def start(self) -> None:
        """Begin what was sent, where that waits for more."""

    def close(self) -> None:
        """Stop running trainings and release the workers."""


class Together:
    """An executor whose workers each train up to `most` tasks of one trunk at a time.

    Tasks wait until the driver has sent what it can; then those of one trunk are shared out to the free workers. Each has
    its own future, folder and outcome. A lost worker loses those that it had; they go on from their checkpoints.
    While latencies are measured only full groups are sent: more tasks of their trunk may follow.
    """

    def __init__(self, groups: GroupExecutor, most: int) -> None:
        self._groups, self._most = groups, most
        self.workers, self.processes = groups.workers * most, groups.workers
        self._waiting: list[_Queued] = []
        self._lock = threading.Lock()
        self._running = self._measuring = 0
        self._lost: Counter[Path] = Counter()

    def submit(self, task: Task, label: str) -> Future[Outcome]:
        """Keep the task until `start`."""
        self._waiting.append(_Queued(task, label, Future()))
        return self._waiting[-1].future

    def start(self) -> None:
        """Send all waiting tasks, in as many groups as there are free workers, and more where those are full.

        Where groups are trained as they are sent, it sends one; the others wait for the next call.
        """
        waiting, self._waiting = self._waiting, []
        free = max(1, self.processes - self._running)
        some = self._measuring > 0 or any(one.task.latency for one in waiting)
        most = self._most if some else min(self._most, -(-len(waiting) // free))
        alike: defaultdict[str, list[_Queued]] = defaultdict(list)
        for one in waiting:
            alone = not one.task.trunk or self._lost[one.task.folder] >= LOSSES
            alike[str(one.task.folder) if alone else one.task.trunk].append(one)
        groups: list[list[_Queued]] = []
        for found in alike.values():
            if some and found[0].task.trunk:
                found, rest = found[: len(found) // most * most], found[len(found) // most * most :]
                self._waiting += rest
            parts = -(-len(found) // most)
            groups += [found[i::parts] for i in range(parts)]
        for sent, members in enumerate(groups, 1):
            if self._send(members):
                # Trained while it was sent, in this process: its rows are written before the next group is trained.
                self._waiting += [one for later in groups[sent:] for one in later]
                break
        self._groups.start()

    def close(self) -> None:
        """Stop running trainings and release the workers."""
        self._groups.close()

    def _send(self, members: Sequence[_Queued]) -> bool:
        """Send a group; return whether it is done already."""
        more = f" and {len(members) - 1} more" if len(members) > 1 else ""
        measures = members[0].task.latency is not None
        with self._lock:
            self._running += 1
            self._measuring += measures
        sent = self._groups.submit(TaskGroup(tuple(one.task for one in members)), members[0].label + more)
        sent.add_done_callback(lambda done: self._finish(done, members))
        return sent.done()

    def _finish(self, done: Future[list[Answer]], members: Sequence[_Queued]) -> None:
        """Settle the members' futures; called in a thread of the executor's."""
        answers: Sequence[Answer]
        try:
            answers = done.result()
        except Exception as error:  # noqa: BLE001  every future must settle
            answers = [error] * len(members)
        with self._lock:
            self._running -= 1
            self._measuring -= members[0].task.latency is not None
            self._lost.update(one.task.folder for one in members if isinstance(answers[0], WorkerLostError))
        for one, answer in zip(members, answers, strict=True):
            settle(one.future, answer)


class _Queued(NamedTuple):
    task: Task
    label: str
    future: Future[Outcome]
