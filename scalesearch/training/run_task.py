"""`run_task`: a task in, a learning curve and a checkpoint out. Imports nn, data and plan."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from scalesearch.arch.spec import BACKBONE_TOP, DetectorSpec
from scalesearch.data.pixels import Pixels, open_pixels
from scalesearch.data.sets import Data
from scalesearch.data.split import DataError, Split, select_from
from scalesearch.inputs.documents import parse_json
from scalesearch.inputs.quoting import shortened
from scalesearch.inputs.typed import Number, fields_of
from scalesearch.io.hashes import file_hash, short_hash
from scalesearch.io.progress import Update, bar
from scalesearch.nn.allocator import give_back_freed_memory, keep_freed_memory
from scalesearch.nn.backbone import one_line
from scalesearch.nn.memory_limit import training_shortage
from scalesearch.nn.model_file import KEY, description_text
from scalesearch.nn.release import releasing
from scalesearch.plan.recipe import NONE
from scalesearch.plan.task import Numbers, Outcome, Task, TaskError
from scalesearch.training import checkpoint
from scalesearch.training.anchor_match import match_report
from scalesearch.training.coco_metrics import Evaluation
from scalesearch.training.distributed import ALONE, Team
from scalesearch.training.evaluation import evaluate
from scalesearch.training.initial import source_of
from scalesearch.training.log import Log
from scalesearch.training.loop import NonFinite, Training
from scalesearch.training.peak_memory import PeakMemory

logger = logging.getLogger(__name__)

SAVE_SECONDS = 60.0
"""Seconds after which the next step writes a checkpoint, so that an interruption loses little."""


@releasing
def run_task(
    task: Task,
    data: Data,
    *,
    cache: Path | None = None,
    device: str = "auto",
    label: str = "training",
    tensorboard: bool = False,
    team: Team = ALONE,
) -> Outcome:
    """Train from the last checkpoint in `task.folder` (or from scratch) to `task.to_epoch`, and evaluate.

    On a CPU with a fixed number of threads the outcome, times aside, is a function of the task and the data: one task
    from 0 to 4 gives the same bits as one from 0 to 2 and one from 2 to 4. `cache` is a folder for decoded images.
    `label` stands beside its progress bar. The processes of a `team` train together and all return the outcome; the
    first one reads and writes the folder. Each epoch is logged at DEBUG.

    A loss that is not finite, insufficient memory and an exceeded time limit give an Outcome with state "failed".
    TaskError where the data cannot be read, or the folder's checkpoint is of another training or before from_epoch.
    """
    give_back_freed_memory()  # left by the training before; it would count in this one's peak
    keep_freed_memory()
    place = team.device or torch.device(_auto() if device == "auto" else device)
    if reason := _shortage(task, place):
        return Outcome(state="failed", reason=reason, seconds=0.0, peak_memory=0, images_per_second=0.0)
    memory = PeakMemory(place)
    pixels = team.one_before_others(lambda: _open(task, data, cache))
    training = Training(dataclasses.replace(task, spec=_seen(task)), pixels[0], place, team)
    points = _LearningCurve(task, data, training)
    points.restore()
    log = Log(task.folder, training.epoch, tensorboard=tensorboard) if team.first else None
    try:
        for numbers in _go(training, points, pixels[1], bar(label)):
            if log is not None:
                log.add({**numbers, "memory": memory.read()})
            scored = "" if numbers["ap"] is None else f", AP {numbers['ap']:.3f}"
            logger.debug("epoch %d of %d: loss %.3f%s", numbers["epoch"], task.to_epoch, numbers["loss"], scored)
    except (NonFinite, TooLong) as error:
        return points.outcome("failed", str(error), memory)
    notes = (*training.notes, *pixels[0].notes, *pixels[1].notes, _loader_note(training))
    matched = match_report(_seen(task), pixels[0])
    return dataclasses.replace(points.outcome("complete", "", memory), notes=notes, matched=matched)


def _loader_note(training: Training) -> str:
    return f"the loader took {training.loader_share:.1%} of the time of training"


class TooLong(Exception):
    """A training exceeded its time limit; the message says how far it got."""


def _go(
    training: Training, points: _LearningCurve, held_out: Pixels, update: Update
) -> Iterator[dict[str, float | None]]:
    """Run epochs, due evaluations and checkpoints; yield each epoch's log line."""
    task, steps = points.task, training.steps_per_epoch
    before = training.epoch * steps + training.step

    def tell(text: str) -> None:
        done = training.epoch * steps + training.step
        update(done - before, task.to_epoch * steps - before, text)

    def on_step(_: int, loss: float) -> None:
        tell(f"epoch {training.epoch + 1}, loss {loss:.3f}")
        points.save(at_once=False)
        if task.time_limit is not None and points.seconds > task.time_limit:
            raise TooLong(
                f"it took longer than the time_limit of {task.time_limit:.0f} s, in epoch {training.epoch + 1} of "
                f"{task.recipe.epochs}"
            )

    while training.epoch < task.to_epoch:
        points.evaluated = {}
        training.train_epoch(on_step)
        points.add_losses()
        if points.due(training.epoch):
            tell(f"epoch {training.epoch}, evaluating")
            model = training.evaluated()
            points.add(evaluate(model, training.anchors, held_out, training.team), model)
        yield points.log_line()
        points.save(at_once=training.epoch == task.to_epoch)


class _LearningCurve:
    """The learning curve of a training, and the data of its checkpoint beside the weights."""

    def __init__(self, task: Task, data: Data, training: Training) -> None:
        self.task, self.training = task, training
        self.identity = _identity(task, data)
        self.detector = description_text(_seen(task), [(c.id, c.name) for c in data.train.categories])
        self.curve: list[tuple[int, dict[str, float | None]]] = []
        self.losses: list[tuple[int, float, float, float]] = []
        self.evaluated: dict[str, Any] = {}
        """The weights as evaluated, while they are current."""
        self.per_class: dict[str, float | None] = {}
        self.start, self.before, self.saved = time.perf_counter(), 0.0, time.monotonic()

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
        return self.before + time.perf_counter() - self.start

    def save(self, *, at_once: bool) -> None:
        """Write the checkpoint unless it is too early for one; of several processes the first one writes."""
        if not self.training.team.first or not (at_once or time.monotonic() - self.saved > SAVE_SECONDS):
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
        self.per_class, self.before = dict(saved.per_class), saved.seconds
        self.training.restore(state)

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


def _open(task: Task, data: Data, cache: Path | None) -> tuple[Pixels, Pixels]:
    """Open the images to train on and those to evaluate on."""
    held_out = data.select if task.evaluate_on == "select" else data.val
    train = _train_split(task, data)
    spec = _seen(task)
    try:
        if task.images < 1:
            _, train = select_from(train, task.images, seed=0)
        opened = (open_pixels(split, spec.size, cache) for split in (train, held_out))
        first, second = (dataclasses.replace(pixels, normalisation=spec.normalisation) for pixels in opened)
    except DataError as error:
        raise TaskError(str(error)) from None
    return first, second


def _shortage(task: Task, place: torch.device) -> str:
    recipe = task.recipe
    return training_shortage(
        _seen(task),
        batch=recipe.batch,
        optimizer=recipe.optimizer,
        momentum=recipe.momentum > 0,
        checkpointing=recipe.checkpointing,
        frozen=recipe.freeze != NONE and not recipe.unfreeze_at,
        device=place,
    )


def _seen(task: Task) -> DetectorSpec:
    """Return the detector at this task's input size."""
    return dataclasses.replace(task.spec, size=scaled(task.spec.size, task.scale))


def scaled(size: tuple[int, int], share: float) -> tuple[int, int]:
    """Return (h, w) scaled by `share`, rounded to multiples of the backbone's stride; at least one, at most `size`."""
    if share == 1:
        return size
    step = 2**BACKBONE_TOP
    height, width = (max(step, round(side * share / step) * step) for side in size)
    return min(height, size[0]), min(width, size[1])


def _train_split(task: Task, data: Data) -> Split:
    if task.train_on == "train":
        return data.train
    reported = data.val if task.evaluate_on == "val" else data.select
    if {image.file for image in data.select.images} & {image.file for image in reported.images}:
        raise TaskError(
            f"train_on: train+select must not train on what is evaluated, but select is {data.select.name!r} and the "
            f"evaluation is on {reported.name!r}: use train_on: train"
        )
    name = f"{data.train.name} and {data.select.name}"
    return dataclasses.replace(data.train, name=name, images=(*data.train.images, *data.select.images))


def _auto() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
