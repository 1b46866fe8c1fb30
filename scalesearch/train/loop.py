"""One training, epoch by epoch: what it holds, how an epoch goes, what a checkpoint of it is.

Imports nn, data and plan.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scalesearch.data.pixels import Pixels
from scalesearch.nn.anchors import anchor_boxes
from scalesearch.nn.checkpoints import load_weights
from scalesearch.nn.detector import Detector, build
from scalesearch.nn.losses import Losses, assign, detection_loss
from scalesearch.nn.recompute import set_recompute
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.task import Task
from scalesearch.train.compiled import compiled
from scalesearch.train.ema import Average
from scalesearch.train.feed import Ready, epoch_seed, fed, prepared
from scalesearch.train.optimizer import learning_rate, make_optimizer
from scalesearch.train.precision import Precision
from scalesearch.train.score import refresh_norms

OnStep = Callable[[int, float], None]
"""Called after each step with (steps of this epoch done, loss)."""


class NonFinite(ArithmeticError):
    """The loss or its gradient is no longer a number; the message says where."""


class Training:
    """Weights, their average and the optimiser of one (spec, recipe, seed) over `pixels`, `epoch` epochs old."""

    def __init__(self, task: Task, pixels: Pixels, device: torch.device) -> None:
        recipe = task.recipe
        self.recipe, self.seed, self.pixels, self.device = recipe, task.seed, pixels, device
        self.precision = Precision(recipe.precision, device)
        with torch.random.fork_rng():
            torch.manual_seed(task.seed)
            pretrained = recipe.pretrained and task.weights is None
            model = build(task.spec, pretrained=pretrained, stochastic_depth=recipe.stochastic_depth)
        self.notes = _started(model, task.weights) if task.weights else ()
        set_recompute(model, recipe.checkpointing)
        self.model: nn.Module = model.to(device).to(memory_format=torch.channels_last)
        self.forward: Callable[[Tensor], Any] = compiled(self.model) if recipe.compile else self.model
        self.anchors = anchor_boxes(task.spec, device)
        self.optimizer = make_optimizer(self.model, recipe)
        self.average = Average(self.model, recipe.ema)
        self.epoch = 0
        self.seconds = self.waited = 0.0

    @property
    def steps_per_epoch(self) -> int:
        """The last short batch is dropped unless it is the only one."""
        return max(1, len(self.pixels) // self.recipe.batch)

    @property
    def loader_share(self) -> float:
        """Part of the time of training in which a step waited for its batch."""
        return self.waited / self.seconds if self.seconds > 0 else 0.0

    def train_epoch(self, on_step: OnStep | None = None) -> None:
        """One epoch; a function of the state, the seed and the epoch only. Raises NonFinite."""
        start, first = time.perf_counter(), self.epoch * self.steps_per_epoch
        steps = self.recipe.epochs * self.steps_per_epoch
        self.model.train()
        with torch.random.fork_rng(), closing(fed(self._prepared(self.epoch), self.device)) as batches:
            torch.manual_seed(epoch_seed(self.seed, self.epoch))  # of dropout and stochastic depth
            for i, batch in enumerate(self._timed(batches)):
                rate = learning_rate(self.recipe, first + i, steps)
                loss = self._step(batch, rate)
                if not math.isfinite(loss):
                    raise NonFinite(self._where(first + i, rate, loss, batch))
                self.average.update(first + i + 1)
                if on_step is not None:
                    on_step(i + 1, loss)
        self.epoch += 1
        self.seconds += time.perf_counter() - start

    def _prepared(self, epoch: int, mixed: bool = True) -> Iterator[Ready]:
        return prepared(self.pixels, self.recipe, seed=self.seed, epoch=epoch, device=self.device, mixed=mixed)

    def _timed(self, batches: Iterator[Ready]) -> Iterator[Ready]:
        """The same batches; the time that each was waited for is added up."""
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - start
            if batch is None:
                return
            yield batch

    def _step(self, batch: Ready, rate: float) -> float:
        """One optimiser step; the loss, or nan where the gradient is not finite (the weights then stay)."""
        loss = self._loss(batch)
        self.optimizer.zero_grad()
        self.precision.backward(loss, self.optimizer)
        size = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip or math.inf)
        value = float(loss.detach())
        if not (math.isfinite(value) and self.precision.accepts(float(size))):
            return value if not math.isfinite(value) else math.nan
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.precision.step(self.optimizer)
        return value

    def _loss(self, batch: Ready) -> Tensor:
        recipe = self.recipe
        targets = assign(self.anchors, batch.boxes, batch.labels, iou=recipe.match_iou, best=recipe.match_best)
        with self.precision.autocast():
            outputs = self.forward(batch.images)
        return losses(outputs, targets, recipe).total

    def _where(self, step: int, rate: float, loss: float, batch: Ready) -> str:
        ids = [self.pixels.split.images[i].id for i in batch.places.tolist()]
        return (
            f"the loss or its gradient is not finite at step {step + 1} (epoch {self.epoch + 1}, learning rate "
            f"{rate:.3g}, images {', '.join(map(str, ids))}): lower learning_rate or clip"
        )

    def evaluated(self) -> nn.Module:
        """The averaged model as it is evaluated: a copy, so that evaluating changes nothing of the training.

        Its statistics are those of images without mosaic and mixup, as it will see them, and of the whole network.
        """
        model = copy.deepcopy(self.average.model)
        if count := self.recipe.norm_batches:
            refresh_norms(model, (batch.images for batch, _ in zip(self._endless(), range(count), strict=False)))
        return model.eval()

    def _endless(self) -> Iterator[Ready]:
        epoch = self.epoch
        while True:
            yield from self._prepared(epoch, mixed=False)
            epoch += 1

    def state(self) -> dict[str, Any]:
        """All that going on needs, as tensors and plain data."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scale": self.precision.state(),
            "epoch": self.epoch,
            "seconds": self.seconds,
            "waited": self.waited,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        self.model.load_state_dict(state["model"])
        self.average.model.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.precision.restore(state.get("scale", {}))  # checkpoints of before it have none
        self.epoch, self.seconds, self.waited = state["epoch"], state["seconds"], state.get("waited", 0.0)


def _started(model: Detector, weights: Path) -> tuple[str, ...]:
    """Loads a file of weights; a line for each that keeps its random start."""
    return tuple(f"not taken from {weights.name}: {line}" for line in load_weights(model, weights).lines())


def losses(outputs: Any, targets: Any, recipe: Recipe) -> Losses:
    """The losses of a batch by a recipe."""
    return detection_loss(
        outputs,
        targets,
        alpha=recipe.focal_alpha,
        gamma=recipe.focal_gamma,
        smoothing=recipe.label_smoothing,
        box=recipe.box_loss,
        box_weight=recipe.box_weight,
        delta=recipe.huber_delta,
    )
