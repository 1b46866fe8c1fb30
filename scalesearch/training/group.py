"""The epochs, evaluations and checkpoints of a training, or of several that share a frozen backbone.

Imports nn, data and plan.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from time import perf_counter

from scalesearch.data.pixels import Pixels
from scalesearch.io.progress import Update
from scalesearch.nn.release import let_go
from scalesearch.plan.task import Outcome
from scalesearch.training.evaluation import evaluate
from scalesearch.training.learning_curve import LearningCurve
from scalesearch.training.log import Log
from scalesearch.training.loop import NonFinite, Training
from scalesearch.training.peak_memory import PeakMemory
from scalesearch.training.together import evaluated_together, steps_together

logger = logging.getLogger(__name__)


class TooLong(Exception):
    """A training exceeded its time limit; the message says how far it got."""


@dataclass(kw_only=True, eq=False)
class GroupMember:
    """A training of a group, alone or with others, and how it ended."""

    training: Training
    curve: LearningCurve
    log: Log | None
    memory: PeakMemory
    result: Outcome | Exception | None = None
    """None while it goes on, and after its last epoch. An exception is its own: the others go on."""

    def __post_init__(self) -> None:
        self.steps_before = self.steps_done

    @property
    def steps_done(self) -> int:
        """Steps of the recipe that are done."""
        return self.training.epoch * self.training.steps_per_epoch + self.training.step

    @property
    def steps_asked(self) -> int:
        """Steps of the recipe up to the task's end."""
        return self.curve.task.to_epoch * self.training.steps_per_epoch

    @property
    def unfinished(self) -> bool:
        """Whether there are epochs to train."""
        return self.result is None and self.training.epoch < self.curve.task.to_epoch

    def share_backbone(self, others: Iterable[GroupMember]) -> None:
        """Take the backbone of one of the others that has an equal one, which frees this one's memory."""
        for other in others:
            if self.training.share_backbone(other.training):
                return

    @contextmanager
    def judged(self) -> Iterator[None]:
        """Keep what is raised inside as the result."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  raised, or sent, when the others are done
            self.judge(error)

    def judge(self, error: Exception) -> None:
        """Keep an exception as the result: a failure of the training, or one that the caller judges."""
        failed = isinstance(error, (NonFinite, TooLong))
        self.result = self.curve.outcome("failed", str(error), self.memory) if failed else let_go(error)

    def check_time(self) -> None:
        """Raise TooLong after the task's time limit."""
        limit = self.curve.task.time_limit
        if limit is not None and self.curve.seconds > limit:
            raise TooLong(
                f"it took longer than the time_limit of {limit:.0f} s, in epoch {self.training.epoch + 1} of "
                f"{self.training.recipe.epochs}"
            )

    def close_epoch(self) -> None:
        """Write the log and the checkpoint of the epoch that has ended, where they are due."""
        numbers, to_epoch = self.curve.log_line(), self.curve.task.to_epoch
        if self.log is not None:
            self.log.add({**numbers, "memory": self.memory.read()})
        scored = "" if numbers["ap"] is None else f", AP {numbers['ap']:.3f}"
        logger.debug("epoch %d of %d: loss %.3f%s", numbers["epoch"], to_epoch, numbers["loss"], scored)
        self.curve.save(at_once=self.training.epoch == to_epoch)


def train_group(members: Sequence[GroupMember], held_out: Pixels, update: Update) -> None:
    """Train members to their tasks' end, those that share a backbone together; their results say who failed."""
    # One backbone, unless a checkpoint has another.
    for backbone in dict.fromkeys(one.training.model.backbone for one in members):
        shared = [one for one in members if one.training.model.backbone is backbone]
        while going := [one for one in shared if one.unfinished]:
            epoch = min(one.training.epoch for one in going)
            _train_epoch([one for one in going if one.training.epoch == epoch], held_out, _Progress(members, update))


class _Progress:
    """The progress bar of a group."""

    def __init__(self, members: Sequence[GroupMember], update: Update) -> None:
        self._members, self._update = members, update

    def tell(self, text: str) -> None:
        going = [one for one in self._members if one.result is None]
        done = sum(one.steps_done - one.steps_before for one in going)
        self._update(done, sum(one.steps_asked - one.steps_before for one in going), text)


def _train_epoch(members: Sequence[GroupMember], held_out: Pixels, progress: _Progress) -> None:
    of = {one.training: one for one in members}
    for one in members:
        one.curve.evaluated = {}
    with closing(steps_together([*of])) as steps:
        for training, batch, common in steps:
            with of[training].judged():
                loss = training.train_step(batch, common)
                progress.tell(f"epoch {training.epoch + 1}, loss {loss:.3f}")
                of[training].curve.save(at_once=False)
                of[training].check_time()
    for one in members:
        if one.result is None:
            with one.judged():
                one.training.end_epoch()
                one.curve.add_losses()
    members = [one for one in members if one.result is None]
    if members and members[0].curve.due(members[0].training.epoch):
        progress.tell(f"epoch {members[0].training.epoch}, evaluating")
        _evaluate(members, held_out)
    for one in members:
        if one.result is None:
            with one.judged():
                one.close_epoch()


def _evaluate(members: Sequence[GroupMember], held_out: Pixels) -> None:
    """Evaluate all at once; where that fails, each alone, so that only those fail that are at fault."""
    start, trainings = perf_counter(), [one.training for one in members]
    try:
        models = evaluated_together(trainings)
        found = evaluate(models, [one.anchors for one in trainings], held_out, trainings[0].team)
    except Exception as error:  # noqa: BLE001  as in a step
        models, found = [], []
        if len(members) == 1:
            members[0].judge(error)
    if not found and len(members) > 1:
        for one in members:
            _evaluate([one], held_out)
    for one, evaluation, model in zip(members, found, models, strict=False):
        with one.judged():
            one.curve.add(evaluation, model)
    for one in members:
        one.curve.beside += (perf_counter() - start) / len(members)
