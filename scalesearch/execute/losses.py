"""What lost workers say of a task and of a place: whose fault a loss was. Plain bookkeeping, no clock.

A place is what workers share and may be sick as a whole: a node of a cluster, a GPU of this machine. A slot is the room
for one worker in it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection

from scalesearch.plan.task import Task

BLAMED = 3
"""Lost workers after which a task counts as failed: three are likely its own fault."""
BENCHED = 3
"""Tasks lost in a row after which no worker is started in a place: three are likely its own fault."""
ENDLESS = 20
"""Losses after which a task counts as failed even if each was in a place that is gone or sick."""


Tasks = tuple[Task, ...]
"""One task, or those that a worker trained together."""


class WorkerLosses:
    """Lost workers by task and by place.

    A place is suspected for the losses in slots that have completed nothing since. A task is to blame if it lost three
    workers in places that are fit, in three different ones if there are so many; its losses then excuse their places.
    So a sick node fails no task, however many it loses, and no detector benches the nodes whose workers it kills.
    Tasks that were trained together are lost together; none of them is to blame before it is lost alone.
    """

    def __init__(self) -> None:
        self._of_task: defaultdict[Task, list[str]] = defaultdict(list)
        self._of_place: defaultdict[str, list[tuple[int, Tasks]]] = defaultdict(list)

    def add(self, tasks: Tasks, place: str, slot: int) -> None:
        """Note that the tasks lost their worker there."""
        for task in tasks:
            self._of_task[task].append(place)
        self._of_place[place].append((slot, tasks))

    def completed(self, tasks: Tasks, place: str, slot: int) -> None:
        """Note that the tasks came to an end there: the slot is well, and they were not to blame."""
        for task in tasks:
            self._of_task.pop(task, None)
        if place in self._of_place:
            self._of_place[place] = [loss for loss in self._of_place[place] if loss[0] != slot]

    def excuse(self, task: Task) -> None:
        """Take back what the losses of a task that is to blame say of their places."""
        self._of_task.pop(task, None)
        for place, losses in self._of_place.items():
            self._of_place[place] = [loss for loss in losses if task not in loss[1]]

    def count(self, tasks: Tasks) -> int:
        """Return how many workers these have lost, the most of them."""
        return max(len(self._of_task.get(task, ())) for task in tasks)

    def places(self, tasks: Tasks, *, least: int = 1) -> set[str]:
        """Return the places where one of them has lost so many workers."""
        counts = [Counter(self._of_task.get(task, ())) for task in tasks]
        return {place for count in counts for place, losses in count.items() if losses >= least}

    def suspicion(self, place: str) -> int:
        """Return the number of different losses that speak against the place."""
        return len({tasks for _, tasks in self._of_place.get(place, ())})

    def fit(self, places: Collection[str]) -> set[str]:
        """Return the places that may have workers: all where all are suspected, since then no place is the cause."""
        return {place for place in places if self.suspicion(place) < BENCHED} or set(places)

    def to_blame(self, task: Task, places: Collection[str]) -> bool:
        """Return whether the task, rather than a machine, loses its workers; `places` are those that are there."""
        fit = self.fit(places)
        lost = self._of_task.get(task, ())
        there = [place for place in lost if place in fit]
        spread = len(set(there)) >= min(BLAMED, len(fit))
        return (len(there) >= BLAMED and spread) or len(lost) >= ENDLESS
