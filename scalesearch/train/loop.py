"""One training, epoch by epoch: what it holds, how an epoch goes, what a checkpoint of it is.

Imports nn, data and plan.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scalesearch.data.augment import jitter, normalise
from scalesearch.data.pixels import Batch, Pixels, batches
from scalesearch.nn.anchors import anchor_boxes
from scalesearch.nn.checkpoints import load_weights
from scalesearch.nn.detector import Detector, build
from scalesearch.nn.losses import Losses, assign, detection_loss
from scalesearch.nn.recompute import set_recompute
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.task import Task
from scalesearch.train.ema import Average
from scalesearch.train.optimizer import learning_rate, make_optimizer
from scalesearch.train.score import refresh_norms
from scalesearch.train.tally import Tally

OnStep = Callable[[int, float], None]
"""Called after each step with (steps of this epoch done, loss)."""


class NonFinite(ArithmeticError):
    """The loss or its gradient is no longer a number; the message says where."""


class Training:
    """Weights, their average and the optimiser of one (spec, recipe, seed) over `pixels`, `epoch` epochs old."""

    def __init__(self, task: Task, pixels: Pixels, device: torch.device) -> None:
        self.recipe, self.seed, self.pixels, self.device = task.recipe, task.seed, pixels, device
        with torch.random.fork_rng():
            torch.manual_seed(task.seed)
            model = build(task.spec, pretrained=task.recipe.pretrained and task.weights is None)
        self.notes = _started(model, task.weights) if task.weights else ()
        set_recompute(model, task.recipe.checkpointing)
        self.model: nn.Module = model.to(device).to(memory_format=torch.channels_last)
        self.anchors = anchor_boxes(task.spec, device)
        self.optimizer = make_optimizer(self.model, task.recipe)
        self.average = Average(self.model, task.recipe.ema)
        self.epoch = 0
        self.seconds = 0.0
        self.tally = Tally(device)
        self.told: dict[str, float] = {}
        """Of the last epoch: learning_rate, loss and its parts, images_per_second."""

    @property
    def steps_per_epoch(self) -> int:
        """The last short batch is dropped unless it is the only one."""
        return max(1, len(self.pixels) // self.recipe.batch)

    def train_epoch(self, on_step: OnStep | None = None) -> None:
        """One epoch; a function of the state, the seed and the epoch only. Raises NonFinite."""
        start, first = time.perf_counter(), self.epoch * self.steps_per_epoch
        steps = self.recipe.epochs * self.steps_per_epoch
        self.model.train()
        rate = 0.0
        with torch.random.fork_rng():  # dropout and stochastic depth
            torch.manual_seed(_mix(self.seed, self.epoch))
            for i, (batch, images, boxes, labels) in enumerate(self._prepared(self.epoch)):
                rate = learning_rate(self.recipe, first + i, steps)
                loss = self._step(images, boxes, labels, rate)
                if not math.isfinite(loss):
                    raise NonFinite(self._where(first + i, rate, loss, batch))
                self.average.update(first + i + 1)
                if on_step is not None:
                    on_step(i + 1, loss)
        self.epoch += 1
        spent = time.perf_counter() - start
        self.seconds += spent
        self.told = self.tally.told(rate, spent)

    def _prepared(self, epoch: int) -> Iterator[tuple[Batch, Tensor, Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(_mix(self.seed, epoch))
        for batch in batches(self.pixels, batch=self.recipe.batch, seed=self.seed, epoch=epoch):
            images, boxes, labels = batch.images, batch.boxes, batch.labels
            if self.recipe.flip or self.recipe.jitter != (1.0, 1.0):
                images, boxes, labels = jitter(
                    images, boxes, labels, generator, scale=self.recipe.jitter, flip=self.recipe.flip
                )
            yield batch, normalise(images.to(self.device)), boxes.to(self.device), labels.to(self.device)

    def _step(self, images: Tensor, boxes: Tensor, labels: Tensor, rate: float) -> float:
        """One optimiser step; the loss, or nan where the gradient is not finite (the weights then stay)."""
        loss = self._loss(images, boxes, labels)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        size = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip or math.inf)
        value = float(loss.detach())
        if not (math.isfinite(value) and math.isfinite(float(size))):
            return value if not math.isfinite(value) else math.nan
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        return value

    def _loss(self, images: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
        recipe = self.recipe
        targets = assign(self.anchors, boxes, labels, iou=recipe.match_iou, best=recipe.match_best)
        found = losses(self.model(images), targets, recipe)
        self.tally.add(found, len(images))
        return found.total

    def _where(self, step: int, rate: float, loss: float, batch: Batch) -> str:
        ids = [self.pixels.split.images[i].id for i in batch.index.tolist()]
        return (
            f"the loss or its gradient is not finite at step {step + 1} (epoch {self.epoch + 1}, learning rate "
            f"{rate:.3g}, images {', '.join(map(str, ids))}): lower learning_rate or clip"
        )

    def evaluated(self) -> nn.Module:
        """The averaged model as it is evaluated: a copy, so that evaluating changes nothing of the training."""
        model = copy.deepcopy(self.average.model)
        if count := self.recipe.norm_batches:
            refresh_norms(model, (images for _, (_, images, _, _) in zip(range(count), self._endless(), strict=False)))
        return model.eval()

    def _endless(self) -> Iterator[tuple[Batch, Tensor, Tensor, Tensor]]:
        epoch = self.epoch
        while True:
            yield from self._prepared(epoch)
            epoch += 1

    def state(self) -> dict[str, Any]:
        """All that going on needs, as tensors and plain data."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "seconds": self.seconds,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        self.model.load_state_dict(state["model"])
        self.average.model.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.seconds = state["epoch"], state["seconds"]


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


def _mix(seed: int, epoch: int) -> int:
    return (seed * 1_000_003 + epoch) % 2**63
