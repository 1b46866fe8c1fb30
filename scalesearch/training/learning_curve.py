"""The learning curve of a training, and its checkpoints. Imports nn, data and plan."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from scalesearch.data.sets import Data
from scalesearch.inputs.documents import parse_json
from scalesearch.inputs.quoting import shortened
from scalesearch.inputs.typed import Number, fields_of
from scalesearch.io.hashes import file_hash, short_hash
from scalesearch.nn.backbone import one_line
from scalesearch.nn.model_file import KEY, description_text
from scalesearch.plan.recipe import NONE
from scalesearch.plan.task import Numbers, Outcome, Task, TaskError
from scalesearch.training import checkpoint
from scalesearch.training.coco_metrics import Evaluation
from scalesearch.training.initial import source_of
from scalesearch.training.loop import Training
from scalesearch.training.peak_memory import PeakMemory

SAVE_SECONDS = 60.0
"""Seconds after which the next step writes a checkpoint, so that an interruption loses little."""


class LearningCurve:
    """The learning curve of a training, and the data of its checkpoint beside the weights."""

    def __init__(self, task: Task, data: Data, training: Training) -> None:
        self.task, self.training = task, training
        self.identity = _identity(task, data)
        self.detector = description_text(training.spec, [(c.id, c.name) for c in data.train.categories])
        self.curve: list[tuple[int, dict[str, float | None]]] = []
        self.losses: list[tuple[int, float, float, float]] = []
        self.evaluated: dict[str, Any] = {}
        """The weights as evaluated, while they are current."""
        self.per_class: dict[str, float | None] = {}
        self.beside, self.saved = 0.0, time.monotonic()
        """Seconds of evaluations and the like; and when the checkpoint was written last."""

    def due(self, epoch: int) -> bool:
        every = self.task.recipe.eval_every
        return epoch == self.task.to_epoch or (every > 0 and epoch % every == 0)

    def add(self, evaluation: Evaluation, model: nn.Module) -> None:
        """Add an evaluation of `model`; save its weights as the best if they are."""
        best = max((_ap(numbers) for _, numbers in self.curve), default=-2.0)
        self.curve.append((self.training.epoch, evaluation.numbers))
        self.per_class = evaluation.per_class
        self.evaluated = model.state_dict()
        if self.training.team.first and _ap(evaluation.numbers) > best:
            state = {"evaluated": self.evaluated, KEY: self.detector, "epoch": self.training.epoch}
            checkpoint.save(
                self.task.folder, {**state, checkpoint.EVALUATIONS: json.dumps(evaluation.numbers)}, checkpoint.BEST
            )

    def add_losses(self) -> None:
        """Add the losses of the epoch that has ended, rounded as in the log."""
        logged = self.training.logged
        loss, class_loss, box_loss = (float(f"{logged[name]:.6g}") for name in ("loss", "class_loss", "box_loss"))
        self.losses.append((self.training.epoch, loss, class_loss, box_loss))

    def log_line(self) -> dict[str, float | None]:
        """Return the log line of the epoch that has ended."""
        training = self.training
        numbers = dict(self.curve).get(training.epoch, {})
        at = {"epoch": training.epoch, "step": training.epoch * training.steps_per_epoch, "seconds": training.seconds}
        return {**at, **training.logged, "ap": numbers.get("ap"), "ap50": numbers.get("ap50")}

    @property
    def seconds(self) -> float:
        """Seconds of the training and its evaluations; of what trainings share, an equal share."""
        return self.training.seconds + self.beside

    def save(self, *, at_once: bool) -> None:
        """Write the checkpoint unless it is too early for one; of several processes the first one writes."""
        if not self.training.team.first or not (at_once or time.monotonic() - self.saved > SAVE_SECONDS):
            return
        if not self.training.is_sound():  # not raised here: the other processes are not in this function
            return
        saved = {"curve": self.curve, "losses": self.losses, "per_class": self.per_class, "seconds": self.seconds}
        state = {
            **self.training.state(),
            "task": self.identity,
            checkpoint.EVALUATIONS: json.dumps(saved),
            KEY: self.detector,
        }
        if self.evaluated:
            # Only the norms' statistics differ from the averaged weights; equal tensors are stored once.
            norms = dict(self.training.average.model.named_buffers())
            state["evaluated"] = {**state["average"], **{n: v for n, v in self.evaluated.items() if n in norms}}
        checkpoint.save(self.task.folder, state)
        self.saved = time.monotonic()

    def restore(self) -> None:
        """Continue from the folder's checkpoint, if there is one."""
        task = self.task
        state = self.training.team.shared(lambda: checkpoint.load(task.folder))
        epoch, step = (state["epoch"], state.get("step", 0)) if state else (0, 0)
        if epoch < task.from_epoch:
            raise TaskError(
                f"a task from epoch {task.from_epoch} needs that checkpoint in its folder, but {task.folder} has "
                f"{f'one of epoch {epoch}' if state else 'none'}: start from epoch 0"
            )
        if state is None:
            return
        if state.get("task") != self.identity:
            raise TaskError(
                f"a folder belongs to one training, but the checkpoint in {task.folder} is of another spec, recipe, "
                "seed, data or split, or started from other weights: give another folder"
            )
        try:
            self._take_up(state, epoch, step)
        except _DAMAGED as error:
            raise TaskError(
                f"{task.folder}: a checkpoint must hold the whole state of a training, but this one does not "
                f"({shortened(one_line(error), 200)}): move it away to train anew"
            ) from None

    def _take_up(self, state: dict[str, Any], epoch: int, step: int) -> None:
        # Older checkpoints have no losses.
        evaluations = {"losses": [], **parse_json(state[checkpoint.EVALUATIONS])}
        task, saved = self.task, fields_of(evaluations, _Saved, "it")
        self.curve = [(at, dict(numbers)) for at, numbers in saved.curve]
        self.losses = list(saved.losses)
        if (epoch, step) > (task.to_epoch, 0) or (epoch == task.to_epoch and epoch not in dict(self.curve)):
            # Its row was deleted, and the checkpoint is past the epoch that is asked for: start again.
            self.curve, self.losses = [], []
            return
        self.training.restore(state)
        self.per_class, self.beside = dict(saved.per_class), saved.seconds - self.training.seconds

    def outcome(self, state: Any, reason: str, memory: PeakMemory) -> Outcome:
        training = self.training
        steps = training.epoch * training.steps_per_epoch + training.step
        images = steps * min(training.recipe.batch, len(training.pixels))
        return Outcome(
            state=state,
            reason=reason,
            curve=tuple(self.curve),
            losses=tuple(self.losses),
            steps=training.done,
            per_class=self.per_class,
            seconds=self.seconds,
            peak_memory=memory.read(),
            images_per_second=images / training.seconds if training.seconds > 0 else 0.0,
        )


_DAMAGED = (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError)
"""Exceptions of torch and Python for a checkpoint with wrong types or missing entries."""


@dataclass(frozen=True)
class _Saved:
    """The JSON under a checkpoint's key EVALUATIONS."""

    curve: tuple[tuple[int, Numbers], ...]
    losses: tuple[tuple[int, float, float, float], ...]
    per_class: Numbers
    seconds: Number


def _ap(numbers: Mapping[str, float | None]) -> float:
    """Return AP for comparison; a missing AP (no objects) ranks below all."""
    value = numbers.get("ap")
    return -1.0 if value is None else value


def _identity(task: Task, data: Data) -> str:
    """Hash what must be equal for a training to continue; files count by content, not path."""
    parts = [task.spec.id, task.recipe.id, str(task.seed), data.fingerprint, task.train_on, task.evaluate_on]
    source = source_of(task)
    # The weights of a recipe are part of its id, by their content once they are identified.
    parts += [file_hash(source.file)] if source and task.recipe.weights_hash == NONE else []
    return short_hash("\n".join(parts))
