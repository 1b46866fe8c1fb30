"""The convolution of every part: nn.Conv2d's numbers and parameter names, with faster steps on a CPU.

Results are nn.Conv2d's. F.conv2d alone is used off the CPU, under torch.compile, export, tracing or an operation
counter, and for kernels without a faster way. May import torch and timm.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Pads = tuple[int, int, int, int]
"""Left, right, top, bottom, as F.pad takes them."""


class Conv2d(nn.Conv2d):
    """nn.Conv2d without dilation, optionally with TensorFlow's SAME padding: the odd pixel at the bottom right."""

    same: bool = False

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C', H', W']."""
        pads = self.pads(x)
        if x.device.type != "cpu" or _watched():
            return self._plain(x, pads)
        if torch.is_grad_enabled() and x.dtype == self.weight.dtype and not torch.is_autocast_enabled("cpu"):
            if self.kernel_size == (1, 1) and self.stride == (1, 1) and self.groups == 1:
                return self._pointwise(x)
            if self._worth_it(pads):
                out: Tensor = _ConvFunction.apply(x, self.weight, self.bias, self.stride, pads, self.groups)
                return out
        return _shifted(x, self.weight, self.bias, self.stride, pads, self.groups)

    def _worth_it(self, pads: Pads) -> bool:
        """Whether `_ConvFunction` is faster: an odd pixel to pad, or a wide depthwise kernel."""
        wide = self.groups == self.in_channels == self.out_channels and self.kernel_size[1] > 3
        return wide or pads[0] != pads[1] or pads[2] != pads[3]

    def pads(self, x: Tensor) -> Pads:
        """Return the padding for `x`."""
        if not self.same:
            height, width = int(self.padding[0]), int(self.padding[1])
            return width, width, height, height
        top, bottom = _same(x.shape[2], self.kernel_size[0], self.stride[0])
        left, right = _same(x.shape[3], self.kernel_size[1], self.stride[1])
        return left, right, top, bottom

    def _plain(self, x: Tensor, pads: Pads) -> Tensor:
        left, right, top, bottom = pads
        if left == right and top == bottom:
            return F.conv2d(x, self.weight, self.bias, self.stride, (top, left), 1, self.groups)
        return F.conv2d(F.pad(x, pads), self.weight, self.bias, self.stride, 0, 1, self.groups)

    def _pointwise(self, x: Tensor) -> Tensor:
        """Compute a 1x1 as a matrix product over channels_last memory: no buffers are zeroed or copied.

        A step on [4, 96, 64, 64] to 24 channels takes 2.2 ms instead of 3.2 by convolution, on one thread.
        """
        if not x.is_contiguous(memory_format=torch.channels_last):
            return self._plain(x, (0, 0, 0, 0))
        batch, c_in, height, width = x.shape
        rows = x.permute(0, 2, 3, 1).view(-1, c_in)
        weight = self.weight.view(self.out_channels, c_in)
        out = rows @ weight.t() if self.bias is None else torch.addmm(self.bias, rows, weight.t())
        return out.view(batch, height, width, self.out_channels).permute(0, 3, 1, 2)


def _watched() -> bool:
    """Whether operations are recorded or counted rather than only run."""
    # torch.jit.is_tracing asks torch._C._get_tracing_state; this saves its import.
    traced = torch._C._get_tracing_state() is not None
    return torch.compiler.is_compiling() or traced or torch._C._len_torch_dispatch_stack() > 0


def _same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return TensorFlow's padding before and after: enough for ceil(size / stride) outputs, the odd pixel after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _shifted(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, ...], pads: Pads, groups: int
) -> Tensor:
    """Convolve with SAME padding without a padded copy: pad all sides alike, `stride` more; drop the first outputs.

    Copies a fourth of what F.pad does, forward and backward.
    """
    padding, down, across = _shift(stride, pads)
    out = F.conv2d(x, weight, bias, stride, padding, 1, groups)
    if not (down or across):
        return out
    last = out.is_contiguous(memory_format=torch.channels_last)
    return out[:, :, down:, across:].contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def _shift(stride: tuple[int, ...], pads: Pads) -> tuple[tuple[int, int], int, int]:
    """Return (padding above and below, left and right), and how many output rows and columns to drop."""
    left, right, top, bottom = pads
    down, across = int(bottom > top), int(right > left)
    return (top + down * stride[0], left + across * stride[1]), down, across


class _ConvFunction(torch.autograd.Function):
    """A convolution with its own backward pass: no padded copy, wide depthwise kernels in strips."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, ...], pads: Pads, groups: int
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.pads, ctx.groups, ctx.sizes = stride, pads, groups, bias if bias is None else [len(bias)]
        return _shifted(x, weight, bias, stride, pads, groups)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        depthwise = ctx.groups == x.shape[1] == weight.shape[0]
        wanted = (ctx.needs_input_grad[0], ctx.needs_input_grad[1] and not depthwise, ctx.needs_input_grad[2])
        padding, down, across = _shift(ctx.stride, ctx.pads)
        whole = F.pad(grad, (across, 0, down, 0)) if down or across else grad
        grads = _backward(whole, x, weight, ctx.sizes, ctx.stride, padding, ctx.groups, wanted)
        if depthwise and ctx.needs_input_grad[1]:
            grads[1] = _strips(grad, x, weight, ctx.stride, ctx.pads)
        return *grads, None, None, None


def _strips(grad: Tensor, x: Tensor, weight: Tensor, stride: tuple[int, ...], pads: Pads) -> Tensor:
    """Return the gradient of a depthwise convolution's weights, computed three kernel columns at a time.

    oneDNN has fast code only up to width 3 and padding 1. On one thread, 5x5 at [4, 672, 16, 16] takes 7.5 ms whole and
    2 in two strips; 3x3 at [4, 96, 128, 128] takes 48 ms with padding 2 and 2 without.
    """
    left, _, top, _ = pads
    height = (grad.shape[2] - 1) * stride[0] + weight.shape[2]
    strips = []
    for start in range(0, weight.shape[3], 3):
        strip = weight[:, :, :, start : start + 3]
        width = (grad.shape[3] - 1) * stride[1] + strip.shape[3]
        seen = _window(x, -top, start - left, height, width)
        wanted = (False, True, False)
        strips.append(_backward(grad, seen, strip, None, stride, (0, 0), x.shape[1], wanted)[1])
    return torch.cat([s for s in strips if s is not None], 3)


def _window(x: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """Return the window of `x` from (top, left), zero outside `x`; only the margin is zeroed."""
    batch, channels, rows, columns = x.shape
    out = torch.empty((batch, channels, height, width), dtype=x.dtype, memory_format=torch.channels_last)
    y0, x0 = max(0, -top), max(0, -left)
    y1, x1 = max(y0, min(height, rows - top)), max(x0, min(width, columns - left))
    out[:, :, y0:y1, x0:x1] = x[:, :, top + y0 : top + y1, left + x0 : left + x1]
    for margin in (out[:, :, :y0], out[:, :, y1:], out[:, :, y0:y1, :x0], out[:, :, y0:y1, x1:]):
        margin.zero_()
    return out


def _backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: list[int] | None,
    stride: tuple[int, ...],
    padding: tuple[int, int],
    groups: int,
    wanted: tuple[bool, bool, bool],
) -> list[Tensor | None]:
    """Return the gradients of a convolution's input, weights and bias, where wanted."""
    return list(
        torch.ops.aten.convolution_backward(
            grad, x, weight, bias_sizes, stride, padding, (1, 1), False, (0, 0), groups, wanted
        )
    )


def adopt(module: nn.Module) -> nn.Module:
    """Turn every plain or SAME convolution in `module` into a `Conv2d` that shares its parameters."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d) and type(child) in (nn.Conv2d, Conv2dSame) and _simple(child):
                mine = Conv2d.__new__(Conv2d)
                mine.__dict__ = child.__dict__
                mine.same = type(child) is Conv2dSame
                setattr(parent, name, mine)
    return module


def _simple(conv: nn.Conv2d) -> bool:
    return conv.padding_mode == "zeros" and conv.dilation == (1, 1) and isinstance(conv.padding, tuple)
