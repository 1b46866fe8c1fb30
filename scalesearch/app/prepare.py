"""Changes to a design before it is built: anchors fitted to the data, normalisation of the pretrained weights."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from scalesearch.arch.backbone import Backbone
from scalesearch.arch.spec import DetectorSpec
from scalesearch.data.pixels import split_targets
from scalesearch.data.split import Split
from scalesearch.nn.anchors import fit_anchors
from scalesearch.nn.frozen import frozen_names
from scalesearch.plan.recipe import NONE, Recipe
from scalesearch.plan.task import Task
from scalesearch.profile.resolve import resolve_spec
from scalesearch.training.initial import content_hash, initial_detector

logger = logging.getLogger(__name__)


def with_fitted_anchors(spec: DetectorSpec, split: Split) -> DetectorSpec:
    """Return the spec with anchors fitted to the boxes of `split`, and say which they are."""
    boxes, labels = split_targets(split, spec.size)
    anchors = fit_anchors(boxes, labels, spec)
    shapes = "; ".join(f"{wide:.3g} x {high:.3g}" for wide, high in anchors.aspects)
    logger.info(
        f"anchors fitted to {split.name}: scale {anchors.scale:g}, {anchors.octaves} octaves, aspects {shapes}"
        f"{' (the published ones)' if anchors == DetectorSpec.anchors else ''}"
    )
    return dataclasses.replace(spec, anchors=anchors)


def as_weights_want(spec: DetectorSpec, own: str | None) -> DetectorSpec:
    """Return the spec with the normalisation `own` of its initial weights, and say where it differs; as it is for None."""
    if own is None or own == spec.normalisation:
        return spec
    logger.info(
        f"images are normalised by {own}, which the pretrained weights were trained with, in place of {spec.normalisation}"
    )
    return dataclasses.replace(spec, normalisation=own)


def identified(recipe: Recipe, backbones: Sequence[Backbone]) -> Recipe:
    """Return the recipe with the hash of its initial weights, fetched where they are timm's and no cache has them.

    Raises ValueError as `content_hash`, and where the recipe has the hash of other weights.
    """
    own = content_hash(recipe, backbones)
    if recipe.weights_hash not in (NONE, own):
        raise ValueError(
            f"weights_hash is filled in from the weights, which are {own} now, but got {recipe.weights_hash}: put those "
            "weights back, or leave weights_hash out and begin a new study with --out"
        )
    return dataclasses.replace(recipe, weights_hash=own)


def in_epochs(recipe: Recipe, images: int, what: str) -> Recipe:
    """Return the recipe with the epochs that its steps are of so many images, and say how many `what` is trained for."""
    found = recipe.for_images(images)
    if found.steps:
        each = found.steps_of_epoch(images)
        logger.info(
            f"{what}: steps {found.steps:,} are {found.epochs:,} epochs of {each:,} steps on {images:,} images: "
            f"{found.epochs * each:,} steps"
        )
    return found


def check_start(spec: DetectorSpec, recipe: Recipe) -> tuple[str, ...]:
    """Return the notes of a training's start.

    Raises ValueError where the initial weights do not fit the spec's backbone, or it has not the stages to freeze.
    """
    if recipe.weights_hash == NONE == recipe.freeze:
        return ()
    task = Task(spec=resolve_spec(spec), recipe=recipe, seed=0, to_epoch=recipe.epochs, folder=Path())
    with torch.random.fork_rng([]):
        detector, notes = initial_detector(task)
    frozen_names(detector, recipe.freeze)
    return notes
