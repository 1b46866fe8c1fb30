"""`Task` and `Outcome`: what goes out to be trained and what comes back. Standard library and arch.

A task that is lost is sent again: it continues from the last checkpoint in its folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from scalesearch.arch.spec import DetectorSpec
from scalesearch.plan.recipe import Recipe

Numbers = Mapping[str, float | None]
"""The twelve COCO numbers by name (ap, ap50, ...); None where there is no truth to score against."""


class TaskError(ValueError):
    """What would stop every training alike, such as data that cannot be read: the user has to mend it first."""


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
    """The schedule is the recipe's whole; this is only where the task stops and evaluates."""
    folder: Path
    """Holds the checkpoint; one for each (spec, recipe, seed, data, train_on)."""
    weights: Path | None = None
    """A file to start from in place of random weights; its content is part of what the training is."""
    train_on: Literal["train", "train+select"] = "train"
    evaluate_on: Literal["select", "val"] = "select"
    images: float = 1.0
    """Share of the training images of this part, at a lower rung of a ladder; the schedule counts in epochs."""
    scale: float = 1.0
    """Share of the input's sides in this part, its evaluation included."""
    time_limit: float | None = None
    """Seconds of training of all parts, after which it fails."""

    def __post_init__(self) -> None:
        if not 0 <= self.from_epoch < self.to_epoch <= self.recipe.epochs:
            raise ValueError(
                f"a task needs 0 <= from_epoch < to_epoch <= epochs of its recipe, but got "
                f"{self.from_epoch}, {self.to_epoch} and {self.recipe.epochs}"
            )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a task came to. With earlier parts of the same training before it, it tells of all of them."""

    state: Literal["complete", "failed"]
    reason: str = ""
    """Of a failure: what happened, at which step, learning rate and image ids."""
    curve: tuple[tuple[int, Numbers], ...] = ()
    """(epochs done, numbers) of each evaluation, in order."""
    per_class: Mapping[str, float | None] = field(default_factory=dict)
    """AP by category name at the last evaluation."""
    seconds: float
    """Wall time of all parts, evaluation included."""
    peak_memory: int
    """Bytes: the process's peak resident set, or on a GPU the most that was allocated."""
    images_per_second: float
    """Trained images per second of training, evaluation not counted."""
    machine: Mapping[str, str] = field(default_factory=dict)
    """Where it was trained, by a worker that may be on another machine than its driver; empty: on the driver's."""
    notes: tuple[str, ...] = ()
    """Lines worth printing, such as the share of its time that it waited for its loader."""
    matched: tuple[str, ...] = ()
    """By class, the share of boxes that the anchors match; a search says that of all its candidates before it begins."""
