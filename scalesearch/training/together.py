"""Trainings of detectors that share a frozen backbone: one forward pass of it for the steps and evaluations of all.

A single training goes the same way. Imports torch, nn and data.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Generator, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor

from scalesearch.arch.spec import DetectorSpec
from scalesearch.nn.detector import Detector
from scalesearch.nn.losses import Targets
from scalesearch.training.evaluation import refresh_norms
from scalesearch.training.loader import Ready, fed

if TYPE_CHECKING:
    from scalesearch.training.loop import Training


class Common(NamedTuple):
    """What trainings on the same batch have in common."""

    maps: list[Tensor]
    """The backbone's, finest first."""
    targets: Targets
    """Those of trainings with equal anchors."""


def steps_together(trainings: Sequence[Training]) -> Generator[tuple[Training, Ready, Common | None]]:
    """Yield each step of an epoch of trainings on the same batches, which the caller does by `train_step`.

    Several share a backbone, and what is common to them comes along. Those behind within the epoch catch up first; one whose
    step is not done falls out. Each training's time is that of its own steps and an equal share of what it shares.
    """
    first = min(trainings, key=lambda one: one.step)
    start = time.perf_counter()
    for one in trainings:
        one.begin_epoch()
    with own_random(first.device), closing(fed(labelled(trainings), first.device)) as batches:
        first.seed_draws()  # for dropout and stochastic depth; a frozen backbone, necks and heads draw nothing
        step = first.step
        while step < first.steps_per_epoch and any(one.step >= step for one in trainings):
            asked = time.perf_counter()
            batch = next(batches)
            waited = time.perf_counter() - asked
            now = [one for one in trainings if one.step == step]
            common = _common(now, batch) if len(trainings) > 1 and now else {}
            shared, start = time.perf_counter() - start, time.perf_counter()
            for one in now:
                one.waited += waited / len(now)
                one.seconds += shared / len(now)
                before = one.seconds
                yield one, batch, common.get(boxes_of(one.spec))
                one.seconds, start = before + time.perf_counter() - start, time.perf_counter()
            step += 1


def _common(trainings: Sequence[Training], batch: Ready) -> dict[Hashable, Common]:
    """Return what is common to trainings that have the same anchor boxes."""
    maps = trainings[0].maps(batch.images)
    by_boxes = {boxes_of(one.spec): one for one in trainings}
    return {boxes: Common(maps, one.targets(batch)) for boxes, one in by_boxes.items()}


def boxes_of(spec: DetectorSpec) -> Hashable:
    """Return what the anchor boxes of a spec depend on, besides its size."""
    return spec.anchors, spec.levels


def labelled(trainings: Sequence[Training]) -> Iterator[Ready]:
    """Yield the batches of the training that is behind, with the positives of those that want them ahead."""
    for batch in min(trainings, key=lambda one: one.step).batches():
        by_boxes = {boxes_of(one.spec): one for one in trainings if one.late}
        yield batch._replace(targets={boxes: one.targets(batch) for boxes, one in by_boxes.items()})


def evaluated_together(trainings: Sequence[Training]) -> list[Detector]:
    """Return a copy of each averaged model for evaluation, so that evaluating does not change the training.

    Its batch-norm statistics are of images without mosaic and mixup, as it will see them, and of the whole network. It
    is the same in all processes: where norms are not synchronized, each has seen all of these batches. Several models
    share a backbone.
    """
    first, averages = trainings[0], [cast(Detector, one.average.model) for one in trainings]
    kept = {id(averages[0].backbone): averages[0].backbone} if len(averages) > 1 else {}
    models = [copy.deepcopy(model, dict(kept)) for model in averages]
    for model in models:
        first.team.agree(model)
    if (count := first.recipe.norm_batches) and not first.recipe.freeze_norms:
        batches = (batch.images for batch, _ in zip(first.unmixed(), range(count), strict=False))
        refresh_norms(models, batches, first.frozen)
    return [model.eval() for model in models]


def own_random(device: torch.device) -> AbstractContextManager[None]:
    """Restore torch's generators afterwards; other GPUs' are left alone, since saving them takes memory on each."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])
