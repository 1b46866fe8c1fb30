"""The small layers that neck and heads share: activation, norm, the 3x3 of a node, resampling.

All sizes are known at construction, so that no forward pass computes a shape. May import torch and arch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scalesearch.arch.operator import Size
from scalesearch.arch.spec import DetectorSpec
from scalesearch.arch.structure import downsampling
from scalesearch.nn.conv import Conv2d


class Activation(nn.Module):
    """silu, relu, relu6 or hard_swish, in place only where no gradient needs the input.

    Autograd clones the input of an in-place silu, hard_swish or relu6 (their backward needs it), which costs a pass
    more than the plain call. relu needs only its output. torch.compile ignores both.
    """

    def __init__(self, name: str, inplace: bool = True) -> None:
        super().__init__()
        self.name, self.inplace = name, inplace

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> the same; with `inplace`, `x` must not be used again."""
        free = self.inplace and not (x.requires_grad and torch.is_grad_enabled())
        if self.name == "silu":
            return F.silu(x, inplace=free)
        if self.name == "hard_swish":
            return F.hardswish(x, inplace=free)
        if self.name == "relu6":
            return F.relu6(x, inplace=free)
        return F.relu(x, inplace=self.inplace)

    def extra_repr(self) -> str:
        """Return its name."""
        return self.name


def norm(channels: int, spec: DetectorSpec) -> nn.BatchNorm2d:
    """Return a batch norm with the eps and momentum of neck and heads."""
    return nn.BatchNorm2d(channels, eps=spec.norm_eps, momentum=spec.norm_momentum)


class Conv3(nn.Module):
    """The 3x3 of a node or a head, stride 1: depthwise without bias then pointwise, or full.

    An odd kernel at stride 1 has equal padding on both sides in either padding mode.
    """

    def __init__(self, c_in: int, c_out: int, *, separable: bool, bias: bool) -> None:
        super().__init__()
        self.separable = separable
        if separable:
            self.conv_dw = Conv2d(c_in, c_in, 3, padding=1, groups=c_in, bias=False)
            self.conv_pw = Conv2d(c_in, c_out, 1, bias=bias)
        else:
            self.conv = Conv2d(c_in, c_out, 3, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """[B, c_in, H, W] -> [B, c_out, H, W]."""
        out: Tensor = self.conv_pw(self.conv_dw(x)) if self.separable else self.conv(x)
        return out

    @property
    def last(self) -> Conv2d:
        """The convolution that carries the bias."""
        conv = self.conv_pw if self.separable else self.conv
        assert isinstance(conv, Conv2d)
        return conv


class Lateral(nn.Module):
    """1x1 convolution and norm that bring a backbone map to the feature network's width."""

    def __init__(self, c_in: int, spec: DetectorSpec) -> None:
        super().__init__()
        self.conv = Conv2d(c_in, spec.width, 1, bias=spec.bias_before_norm)
        self.bn = norm(spec.width, spec)

    def forward(self, x: Tensor) -> Tensor:
        """[B, c_in, H, W] -> [B, width, H, W]."""
        out: Tensor = self.bn(self.conv(x))
        return out


class Down(nn.Module):
    """Resampling to a coarser level: stride 2**jump, output ceil(size / 2**jump).

    max pools with kernel = stride + 1, padded as the spec says. Symmetric padding gives the right size for a jump of
    one level only, so longer jumps use SAME padding in both modes. SAME's odd pixel at the bottom right costs no copy:
    a ceil-mode window that runs over the edge sees what the -inf padding would show it.
    """

    def __init__(self, kind: str, padding: str, jump: int, source: Size, target: Size) -> None:
        super().__init__()
        self.operator, self.kernel, self.stride = downsampling(kind, jump)
        self.target, self.same = target, padding == "same" or jump > 1
        self.overlaps = self.kernel > self.stride
        self.pad = (0, 0)
        if self.overlaps:
            self.pad = (self._pad(source[0], target[0]), self._pad(source[1], target[1]))

    def _pad(self, source: int, target: int) -> int:
        """Return the padding before the first pixel: SAME's smaller half, or kernel // 2."""
        if not self.same:
            return self.kernel // 2
        return max(0, (target - 1) * self.stride + self.kernel - source) // 2

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] at the source size -> [B, C, h', w'] at the target size."""
        if self.operator == "bilinear":
            return F.interpolate(x, size=self.target, mode="bilinear", align_corners=False)
        if self.operator == "avg_pool":
            return F.avg_pool2d(x, self.kernel, self.stride, ceil_mode=True)
        ceil = self.same or not self.overlaps
        return F.max_pool2d(x, self.kernel, self.stride, self.pad, ceil_mode=ceil)


class Up(nn.Module):
    """Resampling to a finer level: nearest or bilinear, to the exact target size."""

    def __init__(self, kind: str, target: Size) -> None:
        super().__init__()
        self.kind, self.target = kind, target

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] -> [B, C, h', w'] at the target size."""
        if self.kind == "bilinear":
            return F.interpolate(x, size=self.target, mode="bilinear", align_corners=False)
        return F.interpolate(x, size=self.target, mode="nearest")


def resample(spec: DetectorSpec, source: int, target: int) -> nn.Module | None:
    """Return the layer that brings a map of level `source` to level `target`; None where the sizes are equal."""
    here, there = spec.map_size(source), spec.map_size(target)
    if here == there:
        return None
    if source > target:
        return Up(spec.up, there)
    return Down(spec.down, spec.padding, target - source, here, there)
