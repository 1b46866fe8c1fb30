"""`build`: a spec as one torch module. May import arch and torch."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from scalesearch.arch.spec import DetectorSpec
from scalesearch.nn.backbone import build_backbone
from scalesearch.nn.heads import box_head, class_head
from scalesearch.nn.neck import Neck


class Outputs(NamedTuple):
    """A detector's raw outputs for a batch, before decoding.

    N anchors: levels fine to coarse, then y, x, anchor (octave-major, then aspect).
    """

    class_logits: Tensor
    """[B, N, classes]."""
    box_deltas: Tensor
    """[B, N, 4]: ty, tx, th, tw against the anchor (official box coder, no variances)."""


class Detector(nn.Module):
    """Backbone, feature network, class head and box head of a spec."""

    def __init__(self, spec: DetectorSpec, *, pretrained: bool = False, stochastic_depth: float = 0.0) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = build_backbone(spec, pretrained=pretrained, stochastic_depth=stochastic_depth)
        self.neck = Neck(spec)
        self.class_head = class_head(spec)
        self.box_head = box_head(spec)

    def forward(self, images: Tensor) -> Outputs:
        """[B, 3, H, W], normalised, at the spec's size -> Outputs. ValueError for another size."""
        if tuple(images.shape[1:]) != (3, *self.spec.size):
            height, width = self.spec.size
            raise ValueError(
                f"this detector takes images [B, 3, {height}, {width}] (its spec's size), but got "
                f"{list(images.shape)}; resize them, or build the spec with that size"
            )
        return self.from_maps(self.backbone(images))

    def from_maps(self, maps: list[Tensor]) -> Outputs:
        """The backbone's maps, finest first -> Outputs; the maps stay as they are."""
        maps = self.neck(maps)
        return Outputs(self.class_head(maps), self.box_head(maps))


def build(spec: DetectorSpec, *, pretrained: bool = False, stochastic_depth: float = 0.0) -> Detector:
    """Build the detector of a spec, with random weights, or a timm backbone's own if `pretrained`.

    `stochastic_depth` as in `build_backbone`. Raises ValueError for a backbone that cannot be used, and where
    pretrained weights or stochastic depth are not available.
    """
    return Detector(spec, pretrained=pretrained, stochastic_depth=stochastic_depth)
