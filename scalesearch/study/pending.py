"""Trainings in flight: sent to the executor, resent when lost, and written as rows when done.

A candidate whose band bounds its latency is first measured, in a task of its own.
"""

from __future__ import annotations

import errno
import logging
import os
import queue
import re
import shutil
from concurrent.futures import Future
from dataclasses import replace
from typing import NamedTuple

from scalesearch.cost.budget import Bound, human
from scalesearch.execute.executor import Executor, WorkerLostError
from scalesearch.plan.task import OtherDeviceError, Outcome, Task, TaskError
from scalesearch.records.row import OUTSIDE, Row, RowError, TrainingKey
from scalesearch.space.space import shown
from scalesearch.study.jobs import Job, row_of, same_as, task_of
from scalesearch.study.repeats import Again
from scalesearch.study.study import Study
from scalesearch.study.study_progress import StudyProgress
from scalesearch.study.told import ALREADY

logger = logging.getLogger(__name__)

HOPELESS = 10
"""Trainings after which a study ends if all failed: the cause is likely common to all."""
CONFIRMED = "confirmed"
"""File in a training's folder: its candidate was measured, and its latency is inside the band."""


class PendingJobs:
    """The trainings in flight; each ends as a row on disk."""

    def __init__(self, study: Study, executor: Executor, progress: StudyProgress | None = None) -> None:
        self._study, self._executor, self._progress = study, executor, progress
        self._out: dict[Future[Outcome], _Sent] = {}
        self._ended: queue.SimpleQueue[Future[Outcome]] = queue.SimpleQueue()
        """Those of `_out` that are done: a thousand are not asked one by one, which took 5 ms."""
        self._keys: set[TrainingKey] = set()
        """The keys of what is in flight."""
        self._waiting: list[_Waiting] = []
        """Jobs whose equal training is in flight, as of members that families share."""
        self._noted: set[str] = set()
        self._confirm = study.confirm

    @property
    def count(self) -> int:
        """Number of trainings in flight."""
        return len(self._out)

    def heading(self) -> dict[int, int]:
        """Return by ordinal the rung that each search trial in flight is trained to."""
        jobs = [sent.job for sent in self._out.values()] + [one.job for one in self._waiting]
        return {job.ordinal: job.rung for job in jobs if job.kind == "search"}

    def repeating(self) -> set[Again]:
        """Return the repeats in flight."""
        jobs = [sent.job for sent in self._out.values()] + [one.job for one in self._waiting]
        return {(job.ordinal, job.seed) for job in jobs if job.kind == "repeat"}

    def send(self, job: Job) -> None:
        """Ensure that the job gets its row: an existing one, a copy from an equal training, or by training now."""
        task = task_of(self._study, job)
        empty = row_of(self._study, job, task, None)
        key = empty.key
        found = self._study.folder.find(empty)
        if found and (found.epochs_done >= job.to_epoch or found.state == "failed"):
            return
        if key in self._keys:
            self._waiting.append(_Waiting(job, key))
            return
        known = self._study.folder.known(key)
        if known:
            self._write(job, task, same_as(empty, known, job.to_epoch), f" ({ALREADY})")
        else:
            if job.kind == "repeat" or (job.kind == "search" and job.rung == 0):
                self._study.folder.send(empty)
            self._keys.add(key)
            sent = _Sent(job, task, key)
            bound = self._unconfirmed(sent)
            self._submit(sent._replace(task=replace(task, latency=bound)) if bound else sent)

    def _unconfirmed(self, sent: _Sent) -> Bound | None:
        """Return the band in which a measurement must find the candidate before it is trained; None: it is trained."""
        if not self._confirm or sent.job.kind != "search" or sent.job.rung or (sent.task.folder / CONFIRMED).exists():
            return None
        return self._study.unit.budgets[sent.job.member or 0].bounds.get("latency")

    def _submit(self, sent: _Sent) -> None:
        future = self._executor.submit(sent.task, sent.job.label + (", latency" if sent.task.latency else ""))
        self._out[future] = sent
        future.add_done_callback(self._ended.put)
        if future.done():
            self.collect_some()

    def collect(self) -> None:
        """Wait for all trainings and write their rows."""
        while self._out:
            self.collect_some()

    def collect_some(self) -> None:
        """Wait for at least one training and write the rows of all that are done."""
        if self._ended.empty():
            self._executor.start()
        done = [self._ended.get()]
        while not self._ended.empty():
            done.append(self._ended.get())
        for future in done:
            self._back(future, self._out.pop(future))

    def _back(self, future: Future[Outcome], sent: _Sent) -> None:
        """Write the row of a finished training, or send a lost task again; it continues from its last checkpoint."""
        outcome = self._outcome(future, sent)
        if outcome is None:
            self._submit(sent)
        elif sent.task.latency:
            self._measured(outcome, sent._replace(task=replace(sent.task, latency=None)))
        else:
            self._trained(outcome, sent)

    def _measured(self, outcome: Outcome, sent: _Sent) -> None:
        """Train a candidate that was measured inside its band, or write the row of one that is not trained."""
        if outcome.state == "failed":
            self._write(sent.job, sent.task, row_of(self._study, sent.job, sent.task, outcome), ", not trained")
            self._send_waiting(sent)
            return
        if self._confirm:
            sent.task.folder.mkdir(parents=True, exist_ok=True)
            (sent.task.folder / CONFIRMED).touch()
        self._submit(sent)

    def _trained(self, outcome: Outcome, sent: _Sent) -> None:
        job, task, end = sent.job, sent.task, f", {outcome.seconds:.0f} s"
        if outcome.state == "failed" and not outcome.curve:
            outcome = self._with_curve(outcome, sent)
        try:
            self._write(job, task, row_of(self._study, job, task, outcome), end)
        except RowError as error:  # an AP that is not finite
            self._write(job, task, row_of(self._study, job, task, failure(str(error))), end)
        self._note(outcome)
        self._give_up()
        self._send_waiting(sent)

    def _send_waiting(self, sent: _Sent) -> None:
        """Send the jobs that waited for this training, which has ended."""
        self._keys.discard(sent.key)
        for waiting in [one for one in self._waiting if one.key == sent.key]:
            self._waiting.remove(waiting)
            self.send(waiting.job)

    def _with_curve(self, outcome: Outcome, sent: _Sent) -> Outcome:
        """Return the outcome of a failure with the curve up to the rung that the candidate had climbed to before."""
        before = self._study.folder.find(row_of(self._study, sent.job, sent.task, None))
        if before is None:
            return outcome
        return replace(outcome, curve=before.curve, losses=before.losses, steps=before.steps)

    def _outcome(self, future: Future[Outcome], sent: _Sent) -> Outcome | None:
        """Return the outcome, failed where the training raised; None where its worker was lost and it is sent again."""
        before = "its latency could not be measured: " if sent.task.latency else ""
        try:
            outcome = future.result()
            outside = sent.task.latency and outcome.state == "failed"
            return replace(outcome, reason=OUTSIDE + outcome.reason) if outside else outcome
        except WorkerLostError as lost:
            if lost.final:
                return failure(before + str(lost))
            logger.warning(f"{sent.job.label}: {lost}; sent again")
            return None
        except TaskError:
            raise
        except OtherDeviceError as other:
            if self._confirm:
                logger.warning(f"latency is predicted, not confirmed by measurement, since {other}")
            self._confirm = False
            return replace(failure(""), state="complete")
        except Exception as error:  # noqa: BLE001  an error of one candidate must not stop the others
            return failure(before + _error_text(error))

    def _note(self, outcome: Outcome) -> None:
        """Say a training's notes, each kind only once: most trainings have the same."""
        for note in outcome.notes:
            kind = re.sub(r"[0-9.]+", "", note)
            if kind not in self._noted:
                self._noted.add(kind)
                logger.info(f"  {note}")

    def _give_up(self) -> None:
        rows = self._study.folder.rows()
        if len(rows) >= HOPELESS and all(row.state == "failed" for row in rows):
            raise ValueError(
                f"all of the first {len(rows)} trainings failed, the last for this reason: {rows[-1].reason}; mend that and "
                "begin a new study with --out"
            )

    def _write(self, job: Job, task: Task, row: Row, end: str) -> None:
        self._study.folder.write(row)
        if not job.final and row.state != "stopped":
            shutil.rmtree(task.folder, ignore_errors=True)
        if logger.isEnabledFor(logging.INFO):  # a rehearsal writes thousands of rows
            logger.info(f"{job.label}: {_describe(job, row)} -> {_result(row)}{end}")
        if self._progress:
            self._progress.advance()


class _Sent(NamedTuple):
    job: Job
    task: Task
    key: TrainingKey


class _Waiting(NamedTuple):
    job: Job
    key: TrainingKey


def failure(reason: str) -> Outcome:
    """Return the outcome of a failed training."""
    return Outcome(state="failed", reason=reason, seconds=0.0, peak_memory=0, images_per_second=0.0)


def _error_text(error: Exception) -> str:
    """Return an exception as one line that begins with its type, or with `out of memory`."""
    text = " ".join(str(error).split())
    # torch has an exception type for GPU memory; for CPU memory its allocator's text ends in the system's message.
    full = "OutOfMemory" in type(error).__name__ or os.strerror(errno.ENOMEM) in text
    if isinstance(error, MemoryError) or full:
        return f"out of memory: {text or type(error).__name__}"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _result(row: Row) -> str:
    if row.state == "failed":
        return f"failed: {row.reason}"
    ap = row.final.get("ap")
    score = f"AP {ap:.3f}" if ap is not None else "no AP"
    return f"{score} on {row.splits['evaluated']}"


def _describe(job: Job, row: Row) -> str:
    size = "x".join(str(side) for side in job.spec.size)
    point = shown(job.point)
    return (
        f"{point + ', ' if point else ''}{human(row.cost['macs'])} MACs at {size}, {human(row.cost['params'])} params"
    )
