"""The class head and the box head: convolutions shared by all levels, a batch norm for each level.

May import arch and torch.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scalesearch.arch.spec import DetectorSpec
from scalesearch.nn.layers import Activation, Conv3, norm
from scalesearch.nn.recompute import call

PRIOR = 0.01
"""Initial score of every class (focal loss, RetinaNet sec. 3.3)."""


class Head(nn.Module):
    """`head_depth` times convolution, norm and activation, then a predicting convolution with bias."""

    recompute = False

    def __init__(self, spec: DetectorSpec, outputs: int, *, prior: float | None = None) -> None:
        super().__init__()
        self.outputs, self.per_cell = outputs, spec.anchors.per_cell
        widths = [spec.width] + [spec.head_width] * spec.head_depth
        bias, separable = spec.bias_before_norm, spec.separable
        self.convs = nn.ModuleList(
            Conv3(c_in, c_out, separable=separable, bias=bias) for c_in, c_out in pairwise(widths)
        )
        self.norms = nn.ModuleList(
            nn.ModuleList(norm(spec.head_width, spec) for _ in spec.levels) for _ in range(spec.head_depth)
        )
        self.act = Activation(spec.activation)
        self.predict = Conv3(widths[-1], self.per_cell * outputs, separable=separable, bias=True)
        self.prior = prior
        initialise(self)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Levels of [B, width, h, w] -> [B, N, outputs]: level by level, then y, x, anchor."""
        maps = [call(self._tower, i, x, inside=self.norms, recompute=self.recompute) for i, x in enumerate(maps)]
        if not self.predict.separable:
            return torch.cat([self._flat(self.predict(x)) for x in maps], 1)
        # Levels are joined before the last 1x1, where a cell has `width` channels instead of anchors * classes: one
        # product for all levels, and no copy of the logits.
        cells = torch.cat([self.predict.conv_dw(x).permute(0, 2, 3, 1).flatten(1, 2) for x in maps], 1)
        last = self.predict.last
        if torch.compiler.is_exporting():
            # A deployed graph gets a two-dimensional product: no transposes, and the bias in the same pass.
            rows = F.linear(cells.flatten(0, 1), last.weight.flatten(1), last.bias)
            return rows.reshape(cells.shape[0], -1, self.outputs)
        return self._flat(last(cells.permute(0, 2, 1).unsqueeze(3)))

    def _tower(self, i: int, x: Tensor) -> Tensor:
        for conv, norms in zip(self.convs, self.norms, strict=True):
            assert isinstance(norms, nn.ModuleList)
            x = self.act(norms[i](conv(x)))
        return x

    def _flat(self, x: Tensor) -> Tensor:
        """[B, anchors * outputs, h, w] -> [B, h * w * anchors, outputs]; no copy under channels_last."""
        return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, self.outputs)


def initialise(head: Head) -> None:
    """Initialise a head's weights: small predictions (std 0.01), every class at its prior.

    Convolutions before a batch norm are normal with variance 1 / fan-in, as in google/automl.
    """
    for conv in head.modules():
        if isinstance(conv, nn.Conv2d):
            fan_in = conv.weight[0].numel()
            nn.init.normal_(conv.weight, std=math.sqrt(1 / fan_in))
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
    last = head.predict.last
    nn.init.normal_(last.weight, std=0.01)
    if head.prior is not None:
        assert last.bias is not None
        nn.init.constant_(last.bias, -math.log((1 - head.prior) / head.prior))


def class_head(spec: DetectorSpec) -> Head:
    """Return the head whose outputs [B, N, classes] are logits."""
    return Head(spec, spec.classes, prior=PRIOR)


def box_head(spec: DetectorSpec) -> Head:
    """Return the head whose outputs [B, N, 4] are box deltas (ty, tx, th, tw)."""
    return Head(spec, 4)
