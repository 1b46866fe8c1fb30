"""`WorkerExecutor`: long-lived workers, wherever they run. One thread decides; what happens comes to it as events.

A worker keeps its imports and data from task to task. One that is lost is replaced, and its task fails with
WorkerLostError, to be sent again; then it is given to a worker elsewhere. `losses` says whose fault losses are,
`pulse` when a worker hangs. A `site` starts the workers: `processes` on this machine, `ray_executor` on a cluster.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Generic, Literal

from scalesearch.execute.executor import Payload, Reply, UnfitWorkerError, WorkerLostError, settle
from scalesearch.execute.hired import Hired, QueuedWork
from scalesearch.execute.places import Places
from scalesearch.execute.pulse import Beat, overdue
from scalesearch.execute.quiet import QuietMachines, measures
from scalesearch.execute.site import Answered, Begun, Event, Gone, Place, Site, WorkerReady
from scalesearch.execute.together import TaskGroup
from scalesearch.plan.task import Task, TaskError

logger = logging.getLogger(__name__)

LOOK = 5.0
"""Seconds after which the places are looked up again: a node may have come or gone."""
SLOW_START = 120.0
"""Seconds after which a worker that has no process yet is started in another place: this one is taken by others."""
SLOW_PREPARE = 3600.0
"""Seconds after which a worker that is not ready is ended."""
LONE = 60.0
"""Seconds without any place after which it is said that trainings wait for one."""


class WorkerExecutor(Generic[Payload, Reply]):
    """Trains at most `workers` tasks at a time, in the places of a site."""

    def __init__(self, site: Site, workers: int) -> None:
        self.workers = self.processes = workers
        self._site = site
        self._inbox: queue.SimpleQueue[QueuedWork | tuple[Hired, Event] | Literal["start"] | None] = queue.SimpleQueue()
        self._waiting: deque[QueuedWork] = deque()
        self._members: list[Hired] = []
        self._places = Places(site)
        self._taken: dict[str, float] = {}
        """By place: until when no worker is started there: others hold it, or the last one ended at once."""
        self._quiet = QuietMachines()
        self._now = self._looked = self._lone = 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._run, daemon=True, name="workers")
        self._thread.start()

    def submit(self, task: Payload, label: str) -> Future[Reply]:
        """Queue the task, or several that are trained together, for the next free worker."""
        assert isinstance(task, (Task, TaskGroup)), "workers train tasks"
        sent = QueuedWork(task, label, Future())
        self._inbox.put(sent)
        return sent.future

    def start(self) -> None:
        """Begin the trainings that waited for measurements; else what was sent begins by itself."""
        if self._quiet.waiting:
            self._inbox.put("start")

    def close(self) -> None:
        """End the workers without waiting for their trainings; checkpoints stay."""
        if not self._closed:
            self._closed = True
            self._inbox.put(None)
            self._thread.join()
            self._site.close()

    # ---- the thread ----

    def _run(self) -> None:
        last = time.monotonic()
        ended: Exception = WorkerLostError("the workers were stopped")
        try:
            while self._take():
                now = time.monotonic()
                # The clock stands still while this process does, or its workers would seem to have been silent.
                self._now += min(now - last, LOOK)
                last = now
                self._look()
                self._watch()
                if self._waiting:
                    self._arrange()
        except Exception as error:  # such as of a cluster that is gone: no training is at fault
            logger.debug("the executor ends", exc_info=True)
            ended = UnfitWorkerError(f"there are no workers any more: {type(error).__name__}: {error}")
        for member in self._members:
            member.worker.end()
        self._drain(ended)

    def _take(self) -> bool:
        """Wait for events, a second at most, and handle those that are there; return False to stop."""
        try:
            item = self._inbox.get(timeout=1.0)
            while item is not None:
                if isinstance(item, QueuedWork):
                    self._waiting.append(item)
                elif item == "start":
                    self._quiet.release()
                elif item[0] in self._members:
                    self._heard(*item)
                item = self._inbox.get_nowait()
        except queue.Empty:
            return True
        return False

    def _drain(self, error: Exception) -> None:
        """Settle all futures, and after a fault of its own those that are sent until it is closed."""
        running = [member.sent for member in self._members if member.sent]
        for sent in (*running, *self._waiting):
            settle(sent.future, error)
        while isinstance(error, UnfitWorkerError) and (item := self._inbox.get()) is not None:
            if isinstance(item, QueuedWork):
                settle(item.future, error)

    def _look(self) -> None:
        """Look up the places, and drop idle workers whose place is gone."""
        if self._looked and self._now - self._looked < LOOK:
            return
        self._places.look()
        self._looked = self._now or 1e-9
        there = {place.key for place in self._places.there}
        for member in [member for member in self._members if member.place.key not in there]:
            member.worker.end()
            self._gone(member, f"{member.place.name} is gone")
        if there or not self._waiting:
            self._lone = self._now
        elif self._now - self._lone > LONE:
            logger.warning("no machine has room for a training now; waiting for one")
            self._lone = float("inf")

    # ---- events ----

    def _heard(self, member: Hired, event: Event) -> None:
        member.heard = self._now
        match event:
            case Begun():
                member.begun = True
            case WorkerReady(unfit=None):
                member.begun = member.ready = True
                member.worker.listen()
            case WorkerReady(unfit=UnfitWorkerError() as unfit):
                self._bench(member, unfit)
            case Beat():
                member.beat = event
                member.worker.listen()
            case Answered():
                self._answered(member, event.answer)
            case Gone():
                if event.untouched and member.sent and not member.fault:
                    self._waiting.appendleft(member.sent)
                    member.sent, member.ready = None, False
                self._gone(member, member.fault or event.reason)

    def _answered(self, member: Hired, answer: Any) -> None:
        sent = member.sent
        if sent is None or member.fault:
            return
        if isinstance(answer, UnfitWorkerError):
            member.sent = None
            self._waiting.appendleft(sent)
            self._bench(member, answer)
            return
        if isinstance(answer, WorkerLostError):
            self._end(member, str(answer))
            return
        if isinstance(answer, TaskError) and not self._places.common(sent.tasks, member.place, answer):
            self._end(member, f"on {member.place.name}: {answer}")
            return
        member.sent, member.beat = None, Beat()
        if measures(sent):
            self._quiet.ended(member.place)
        if not isinstance(answer, Exception):
            try:
                member.worker.keep()
            except Exception as error:  # noqa: BLE001  every future must settle
                answer = error
        self._places.completed(sent.tasks, member.place, member.slot)
        settle(sent.future, answer)

    def _end(self, member: Hired, fault: str) -> None:
        """End a worker for this fault of its own; its loss is judged when it is gone."""
        member.fault = fault
        member.worker.end()

    def _bench(self, member: Hired, unfit: UnfitWorkerError) -> None:
        """Start no workers any more in the place of a worker that cannot train; it ends."""
        self._places.unfit(member.place, unfit)
        self._retire(member)

    def _gone(self, member: Hired, reason: str) -> None:
        """Take leave of a worker that has ended, and judge the loss of its task."""
        sent = member.sent
        if sent is None:
            if not member.ready:
                self._places.ended_at_once(member.place, reason)
                self._taken[member.place.key] = self._now + LOOK  # its node may be about to be found gone
        elif count := self._places.lost(sent.tasks, member.place, member.slot):
            text = f"its worker was lost {count} times, the last time: {reason}"
            settle(sent.future, WorkerLostError(text, final=True))
        else:
            settle(sent.future, WorkerLostError(reason))
        self._members.remove(member)

    # ---- decisions ----

    def _watch(self) -> None:
        """End the workers that hang; give up the starts that wait for a place which others hold."""
        for member in list(self._members):
            if member.ready and not member.fault:
                limit = member.sent.task.time_limit if member.sent else None
                if fault := overdue(limit, member.beat, self._now - member.heard):
                    self._end(member, f"a worker on {member.place.name} {fault}")
            elif member.begun and not member.fault and self._now - member.since > SLOW_PREPARE:
                self._end(member, f"it was not ready after {SLOW_PREPARE:.0f} s")
            elif not member.begun and self._now - member.since > SLOW_START and len(self._places.startable()) > 1:
                self._taken[member.place.key] = self._now + SLOW_START
                self._retire(member)

    def _retire(self, member: Hired) -> None:
        """End a worker that has no task."""
        self._members.remove(member)
        member.worker.end()

    def _arrange(self) -> None:
        """Give waiting tasks to free workers, and start the workers that they lack."""
        claimed: set[Hired] = set()
        fit = self._places.startable()
        usable = {place.key for place in self._open(fit)} | {member.place.key for member in self._members}
        self._quiet.look(self._members, self._places.there)
        for sent in sorted(self._waiting, key=lambda sent: not measures(sent)):
            # A place that gets no new workers keeps those that are well.
            keys = {place.key for place in fit} | {member.place.key for member in self._members}
            # Elsewhere than where it was lost; rather than wait, there a second time; all places are left in the end.
            away, left = (keys - self._places.losses.places(sent.tasks, least=least) for least in (1, 2))
            if measures(sent):
                self._placed(sent, self._quiet.keep(usable & away or usable & left or usable & keys), fit, claimed)
                continue
            keys, away, left = (self._quiet.without(some) for some in (keys, away, left))
            if not (away and self._placed(sent, away, fit, claimed)):
                self._placed(sent, left or keys, fit, claimed)
        if self._waiting and not self._members and (error := self._places.why_none()):
            for sent in self._waiting:
                settle(sent.future, error)
            self._waiting.clear()

    def _placed(self, sent: QueuedWork, keys: set[str], fit: Sequence[Place], claimed: set[Hired]) -> bool:
        """Give the task to a worker in one of these places that is free or will be at once; return whether there is."""
        free = [m for m in self._members if m.place.key in keys and not (m.sent or m.fault or m in claimed)]
        if ready := [member for member in free if member.ready]:
            self._give(min(ready, key=lambda member: self._places.losses.suspicion(member.place.key)), sent)
            return True
        soon = free[0] if free else self._start([place for place in fit if place.key in keys], claimed)
        if soon:
            claimed.add(soon)
        return soon is not None

    def _give(self, member: Hired, sent: QueuedWork) -> None:
        self._waiting.remove(sent)
        if not (sent.future.running() or sent.future.set_running_or_notify_cancel()):
            return
        member.sent, member.beat, member.heard = sent, Beat(), self._now
        member.worker.train(sent.task)

    def _open(self, places: Sequence[Place]) -> list[Place]:
        """Return those of these places that are not taken by others."""
        return [place for place in places if self._taken.get(place.key, 0.0) <= self._now]

    def _start(self, places: Sequence[Place], claimed: set[Hired]) -> Hired | None:
        """Start a worker in the least loaded of the places that have room, in place of an idle one if there are enough."""
        slots = {place.key: {m.slot for m in self._members if m.place.key == place.key} for place in self._places.there}
        free = self._open([place for place in places if len(slots[place.key]) < place.room])
        if not free:
            return None
        if len(self._members) >= self.workers:
            spare = [m for m in self._members if not m.sent and not m.fault and m not in claimed]
            if not spare:
                return None
            self._retire(spare[0])
        place = min(free, key=lambda one: (self._places.losses.suspicion(one.key), len(slots[one.key]) / one.room))
        slot = min(set(range(place.room)) - slots[place.key])
        member = Hired(place, slot, since=self._now, heard=self._now)
        try:
            member.worker = self._site.start(place, lambda event: self._inbox.put((member, event)))
        except OSError as error:
            self._places.ended_at_once(place, str(error))
            self._taken[place.key] = self._now + LOOK
            return None
        self._members.append(member)
        return member
