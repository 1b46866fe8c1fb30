"""`Places`: where an executor's workers run, and which of them may have new workers. It says what it benches."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from scalesearch.execute.executor import UnfitWorkerError
from scalesearch.execute.losses import BENCHED, Tasks, WorkerLosses
from scalesearch.execute.site import Place, Site
from scalesearch.plan.task import TaskError

logger = logging.getLogger(__name__)


class Places:
    """The places of a site, and what happened in each."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.there: Sequence[Place] = ()
        self.losses = WorkerLosses()
        self._unfit: dict[str, UnfitWorkerError] = {}
        self._ended: Counter[str] = Counter()
        """By place: workers in a row that ended before they began anything."""
        self._errors: dict[Tasks, str] = {}
        """The place where tasks first met an error of data or disk."""
        self._benched: set[str] = set()

    def look(self) -> None:
        """Look up the places that are there."""
        self.there = self._site.places()

    def startable(self) -> list[Place]:
        """Return the places that may have new workers: all that are fit, without those that lost several in a row."""
        fit = [place for place in self.there if place.key not in self._unfit]
        keys = self.losses.fit([place.key for place in fit])
        return [place for place in fit if place.key in keys]

    def why_none(self) -> UnfitWorkerError | None:
        """Return why no place can have workers; None where one can, or there is none."""
        return next(iter(self._unfit.values())) if self._unfit and self.there and not self.startable() else None

    def unfit(self, place: Place, error: UnfitWorkerError) -> None:
        """Start no workers there any more: one could not train any task."""
        if place.key not in self._unfit:
            self._unfit[place.key] = error
            if self.startable():  # else the error ends the study
                logger.warning(f"{place.name} gets no trainings: {error}")

    def ended_at_once(self, place: Place, reason: str) -> None:
        """Note that a worker ended there before it began anything."""
        self._ended[place.key] += 1
        if self._ended[place.key] >= BENCHED:
            text = f"{BENCHED} workers on {place.name} ended before they could begin, the last one so: {reason}"
            self.unfit(place, UnfitWorkerError(text))

    def completed(self, tasks: Tasks, place: Place, slot: int) -> None:
        """Note that tasks came to an end there."""
        self.losses.completed(tasks, place.key, slot)
        self._ended.pop(place.key, None)
        self._errors.pop(tasks, None)

    def common(self, tasks: Tasks, place: Place, error: TaskError) -> bool:
        """Return whether an error of data or disk is every place's: it was met in two, or there is no other."""
        first = self._errors.setdefault(tasks, place.key)
        return first != place.key or len(self.startable()) < 2

    def lost(self, tasks: Tasks, place: Place, slot: int) -> int:
        """Note that tasks lost their worker there. Return how many a single one has lost if it is to blame, else 0."""
        self.losses.add(tasks, place.key, slot)
        self.look()  # its node may be gone, too
        count = self.losses.count(tasks)
        fit = {one.key for one in self.there} - self._unfit.keys()
        blamed = len(tasks) == 1 and self.losses.to_blame(tasks[0], fit)
        if blamed:
            self.losses.excuse(tasks[0])
        self._tell()
        return count if blamed else 0

    def _tell(self) -> None:
        """Say once which places get no new workers for their losses."""
        startable = {place.key for place in self.startable()}
        for place in self.there:
            if place.key in startable or place.key in self._unfit:
                self._benched.discard(place.key)
            elif place.key not in self._benched:
                self._benched.add(place.key)
                logger.warning(
                    f"{place.name} has lost the workers of {self.losses.suspicion(place.key)} trainings in a row and gets no "
                    "new ones; trainings go elsewhere"
                )
