"""`Task` and `Outcome`: the input and the result of one training. Imports `arch`, `cost` and `plan.recipe`.

A lost task is sent again and continues from the last checkpoint in its folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from scalesearch.arch.spec import DetectorSpec, to_dict
from scalesearch.cost.budget import Bound
from scalesearch.inputs.typed import Number
from scalesearch.plan.recipe import Recipe

Numbers = Mapping[str, Number | None]
"""The twelve COCO metrics by name (ap, ap50, ...); None without ground truth to score against."""


class TaskError(ValueError):
    """An error that would stop every training, such as unreadable data, so that the user has to mend it first."""


class OtherDeviceError(ValueError):
    """A latency cannot be measured by this worker: it has not the device of the plan's table of timings."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """Train `spec` by `recipe` from one epoch to another.

    Raises ValueError unless 0 <= from_epoch < to_epoch <= recipe.epochs.
    """

    spec: DetectorSpec
    recipe: Recipe
    seed: int
    from_epoch: int = 0
    """Above 0 the checkpoint of an earlier task must be in `folder`."""
    to_epoch: int
    """The epoch at which the task stops and evaluates; the schedule is the recipe's whole."""
    folder: Path
    """The folder of the checkpoint; one for each (spec, recipe, seed, data, train_on)."""
    weights: Path | None = None
    """A file or folder of initial weights in place of random ones, and where the recipe's lie in this place; its content is
    part of the training's identity."""
    train_on: Literal["train", "train+select"] = "train"
    evaluate_on: Literal["select", "val"] = "select"
    images: float = 1.0
    """Share of the training images in this part, for a lower rung of a ladder; the schedule counts epochs."""
    scale: float = 1.0
    """Share of the input's sides in this part, including its evaluation."""
    time_limit: float | None = None
    """Seconds of training, over all parts, after which the task fails."""
    latency: Bound | None = None
    """Seconds: measure the latency of `spec` against this band, and train nothing. The outcome is "failed" outside it."""

    def __post_init__(self) -> None:
        if not 0 <= self.from_epoch < self.to_epoch <= self.recipe.epochs:
            raise ValueError(
                f"a task needs 0 <= from_epoch < to_epoch <= epochs of its recipe, but got "
                f"{self.from_epoch}, {self.to_epoch} and {self.recipe.epochs}"
            )

    @cached_property
    def trunk(self) -> str:
        """What trainings with a frozen backbone share: it, and all that decides their images; "" where it is trained.

        Tasks with the same can be trained together. Compiled, a forward pass is one piece.
        """
        recipe, spec = self.recipe, self.spec
        if not recipe.frozen_backbone or recipe.compile or self.latency:
            return ""
        backbone = {name: value for name, value in to_dict(spec).items() if name in _OF_THE_TRUNK}
        of_training = (recipe.id, recipe.weights, str(self.weights), self.seed, self.train_on, self.evaluate_on)
        stretch = (self.from_epoch, self.to_epoch, self.images, self.scale, self.time_limit)
        levels = (spec.backbone_levels[0], spec.backbone_levels[-1])
        return json.dumps([backbone, levels, spec.backbone_same, of_training, stretch], sort_keys=True)


_OF_THE_TRUNK = ("size", "classes", "backbone", "activation", "backbone_norm_eps", "norm_momentum", "normalisation")
"""The fields of a spec that its backbone and its images depend on, besides its levels and padding."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of a task, including earlier parts of the same training."""

    state: Literal["complete", "failed"]
    reason: str = ""
    """The cause of a failure, with step, learning rate and image ids."""
    curve: tuple[tuple[int, Numbers], ...] = ()
    """(epochs done, COCO metrics) of each evaluation, in order."""
    steps: int = 0
    """Steps of all parts."""
    losses: tuple[tuple[int, float, float, float], ...] = ()
    """(epoch, loss, class loss, box loss before its weight): means over the steps of each epoch, in order."""
    per_class: Mapping[str, float | None] = field(default_factory=dict)
    """AP by category name at the last evaluation."""
    seconds: float
    """Wall time of all parts, including evaluation; of a training together with others, its own steps and an equal share of
    what they have in common."""
    peak_memory: int
    """Bytes: the process's peak resident set, or the peak of allocated memory on a GPU; of all that it trains together."""
    images_per_second: float
    """Training images per second of training, without evaluation."""
    machine: Mapping[str, str] = field(default_factory=dict)
    """The machine of a worker that may not be the driver's; empty: the driver's."""
    notes: tuple[str, ...] = ()
    """Lines to print, such as the share of time spent waiting for the loader."""
    matched: tuple[str, ...] = ()
    """Lines with the share of boxes that the anchors match, by class; a search reports it for all candidates first."""
