"""A detector over a split: batch-norm statistics re-estimated, detections in the images' own pixels, COCO numbers.

Imports torch, nn and data.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from scalesearch.data.augment import normalise
from scalesearch.data.pixels import Pixels, eval_batches
from scalesearch.data.split import ground_truth
from scalesearch.nn.postprocess import detect
from scalesearch.train.evaluate import Evaluation, coco_numbers

BATCH = 16

CANDIDATES = 2000
"""Pairs of anchor and class that go into the suppression: the same twelve numbers to four digits as the official 5000
on digits and bccd (6 and 14 boxes an image), in half the time."""


@torch.no_grad()
def refresh_norms(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Sets every batch norm's running statistics to the plain mean over these batches of [B, 3, H, W].

    Weights stay. Averaged weights have statistics of their own, which a running mean of the trained weights' is not.
    Nothing else trains meanwhile: no dropout, no stochastic depth.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    model.eval()
    for norm in norms:
        norm.train()
    for images in batches:
        model(images)
    model.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


@torch.no_grad()
def predict(model: nn.Module, anchors: Tensor, pixels: Pixels, *, candidates: int = CANDIDATES) -> list[dict[str, Any]]:
    """COCO results of all images of `pixels`, at most 100 an image."""
    model.eval()
    results: list[dict[str, Any]] = []
    split = pixels.split
    for batch in eval_batches(pixels, BATCH):
        outputs = model(normalise(batch.images.to(anchors.device)))
        found = detect(outputs, anchors, pixels.size, candidates=candidates)
        for position, (boxes, scores, labels) in zip(batch.index.tolist(), found, strict=True):
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


def evaluate(model: nn.Module, anchors: Tensor, pixels: Pixels) -> Evaluation:
    """The COCO numbers of the model over all images of `pixels`."""
    return coco_numbers(ground_truth(pixels.split), predict(model, anchors, pixels))
