"""Comparison of an ONNX model under ONNX Runtime with its detector in torch. May import torch, nn, onnxruntime."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scalesearch.nn.anchors import anchor_boxes
from scalesearch.nn.detector import Detector, Outputs
from scalesearch.nn.onnx_file import CANDIDATES, FOUND, IOU, LEAST, MOST, OnnxOptions
from scalesearch.nn.postprocess import Detections, detect

TOLERANCE = 1e-3
"""The largest difference of an output, relative to its largest value, that counts as rounding."""

SAME = 0.99
"""The least share of equal detections: ties, and overlaps at the threshold, may fall either way."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """The differences between the two, over `images` images of noise."""

    difference: float
    """The largest difference of the raw outputs, relative to the largest value of that output."""
    same: float | None
    """With suppression, the share of detections that both have, by class, score and box; else None."""
    images: int

    def check(self) -> None:
        """Raise ValueError where the difference is more than rounding."""
        if not self.difference <= TOLERANCE:
            raise ValueError(
                f"an ONNX file must give the detector's outputs to {TOLERANCE:g} of their largest value, but they "
                f"differ by {self.difference:.3g}: nothing was written; try another --opset"
            )
        if self.same is not None and self.same < SAME:
            raise ValueError(
                f"an ONNX file must give the detections of torch, but {1 - self.same:.1%} of them differ: nothing "
                "was written; export without --nms"
            )


@torch.no_grad()
def compare_outputs(model: bytes, detector: Detector, options: OnnxOptions) -> Agreement:
    """Run both on a CPU over noise: `options.batch` images, or one and then three where the batch size is free.

    `model` is an onnx.ModelProto that has the raw outputs among its outputs. Its detections are compared with `detect`
    of those raw outputs, so that rounding of a score does not count as another detection.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    differences, shares, count = [], [], 0
    for batch in (options.batch,) if options.batch else (1, 3):
        images = torch.rand(batch, 3, *detector.spec.size, generator=generator) * 255
        names = [output.name for output in session.get_outputs()]
        values = [torch.from_numpy(value) for value in session.run(names, {"images": images.numpy()})]
        found = dict(zip(names, values, strict=True))
        raw = Outputs(*(found[name] for name in Outputs._fields))
        expected = detector(_normalised(images, options))
        differences += [_relative(one, other) for one, other in zip(raw, expected, strict=True)]
        if options.nms:
            shares += _shares(found, raw, detector)
        count += batch
    same = sum(shares) / len(shares) if shares else None
    # Not the built-in max, which ignores a NaN that is not first.
    return Agreement(difference=float(torch.tensor(differences).max()), same=same, images=count)


def _normalised(images: Tensor, options: OnnxOptions) -> Tensor:
    mean, std = (torch.tensor(values)[:, None, None] for values in (options.mean, options.std))
    return (images / 255 - mean) / std


def _relative(one: Tensor, other: Tensor) -> float:
    """Return the largest difference relative to `other`'s largest value; NaN where either has one."""
    return float((one - other).abs().max() / other.abs().max().clamp(min=1e-12))


def _shares(found: dict[str, Any], raw: Outputs, detector: Detector) -> list[float]:
    """Return for each image the share of detections that both sides have."""
    spec = detector.spec
    expected = detect(raw, anchor_boxes(spec), spec.size, candidates=CANDIDATES, score=LEAST, iou=IOU, most=MOST)
    shares = []
    for boxes, scores, labels, count, theirs in zip(*(found[name] for name in FOUND), expected, strict=True):
        k = int(count)
        ours = Detections(boxes[:k], scores[:k], labels[:k])
        pairs = (
            (ours.labels[:, None] == theirs.labels)
            & ((ours.scores[:, None] - theirs.scores).abs() <= 1e-4)
            & ((ours.boxes[:, None] - theirs.boxes).abs().amax(-1) <= 0.05)
        )
        most = max(len(ours.scores), len(theirs.scores))
        both = min(int(pairs.any(1).sum()), int(pairs.any(0).sum()))
        shares.append(both / most if most else 1.0)
    return shares
