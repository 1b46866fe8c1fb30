"""Evaluation of a detector on a split: batch-norm statistics re-estimated, detections in image pixels, COCO metrics.

Imports torch, nn and data.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from scalesearch.data.pixels import Pixels
from scalesearch.data.shard import WHOLE, Shard
from scalesearch.data.split import ground_truth
from scalesearch.nn.frozen import outputs_together
from scalesearch.nn.postprocess import Detections, detect, on_host
from scalesearch.training.coco_metrics import Evaluation, coco_numbers
from scalesearch.training.distributed import ALONE, Team
from scalesearch.training.loader import fed, unchanged

BATCH = 16

CANDIDATES = 2000
"""(anchor, class) pairs before suppression: the same twelve metrics to four digits as the official 5000 on digits and
bccd (6 and 14 boxes an image), in half the time."""


def norms_of(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """Return every batch norm of a model, synchronized ones included."""
    return [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


@torch.no_grad()
def refresh_norms(models: Sequence[nn.Module], batches: Iterable[Tensor], frozen: frozenset[str] = frozenset()) -> None:
    """Set every batch norm's running statistics to the plain mean over these batches of [B, 3, H, W].

    Norms whose weight has a name in `frozen` keep theirs. Weights stay. Averaged weights need their own statistics: the
    running mean belongs to the trained weights. The rest of the models is in eval mode: no dropout, no stochastic depth.
    Several models share a frozen backbone.
    """
    norms: list[nn.modules.batchnorm._BatchNorm] = []
    for model in models:
        kept = {module for name, module in model.named_modules() if f"{name}.weight" in frozen}
        norms += [norm for norm in norms_of(model) if norm not in kept]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    for model in models:
        model.eval()
    for norm in norms:
        norm.train()
    for images in batches:
        for _ in outputs_together(models, images):
            pass
    for model in models:
        model.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def predict(model: nn.Module, anchors: Tensor, pixels: Pixels, method: str = "hard") -> list[dict[str, Any]]:
    """Return COCO results of all images of `pixels`, at most 100 an image, by a suppression `method` of `detect`."""
    return _predict([model], [anchors], pixels, WHOLE, method)[0]


@torch.no_grad()
def _predict(
    models: Sequence[nn.Module], anchors: Sequence[Tensor], pixels: Pixels, shard: Shard, method: str = "hard"
) -> list[list[dict[str, Any]]]:
    """Return each model's results, as `predict`, of this shard of the batches; several share a backbone."""
    for model in models:
        model.eval()
    results: list[list[dict[str, Any]]] = [[] for _ in models]
    device = anchors[0].device
    with closing(fed(unchanged(pixels, BATCH, shard, device), device)) as batches:
        for batch in batches:
            for one, own, outputs in zip(results, anchors, outputs_together(models, batch.images), strict=True):
                found = detect(outputs, own, pixels.size, method=method, candidates=CANDIDATES)
                one += coco_results(found, batch.places.tolist(), pixels)
    return results


def coco_results(found: Sequence[Detections], index: Sequence[int], pixels: Pixels) -> list[dict[str, Any]]:
    """Convert detections at these positions from input pixels to COCO results in the images' own pixels."""
    results: list[dict[str, Any]] = []
    split = pixels.split
    for position, (boxes, scores, labels) in zip(index, on_host(found), strict=True):
        image, scale = split.images[position], float(pixels.scales[position])
        limit = boxes.new_tensor([image.width, image.height] * 2)
        boxes = (boxes / scale).minimum(limit)
        boxes[:, 2:] -= boxes[:, :2]
        rows = zip(boxes.tolist(), scores.tolist(), labels.tolist(), strict=True)
        results += [
            {"image_id": image.id, "category_id": split.categories[k].id, "bbox": box, "score": score}
            for box, score, k in rows
        ]
    return results


def evaluate(
    models: Sequence[nn.Module], anchors: Sequence[Tensor], pixels: Pixels, team: Team = ALONE
) -> list[Evaluation]:
    """Return each model's COCO metrics on all images of `pixels`, which the processes of a team share out.

    Several models share a backbone.
    """
    return [_scored(found, pixels, team) for found in _predict(models, anchors, pixels, team.shard)]


def _scored(results: list[dict[str, Any]], pixels: Pixels, team: Team) -> Evaluation:
    found = team.gathered(results)
    place = {image.id: position for position, image in enumerate(pixels.split.images)}
    # In the order of a single process, since the evaluators take the first of equal scores.
    ordered = sorted(chain.from_iterable(found), key=lambda result: place[result["image_id"]])
    return team.shared(lambda: coco_numbers(ground_truth(pixels.split), ordered))
