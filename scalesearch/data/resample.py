"""Rectangles of images, resized onto rectangles of canvases: zoom, mirror and the tiles of a mosaic.

Imports torch, and this room's padding value and copies to a device. Images are uint8 [B, H, W, 3], as in a `Batch`, and
so are canvases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from scalesearch.data.decoded_file import PAD
from scalesearch.data.transfer import sent

PIXELS = 2**22
"""Pixels of source images that `together` resamples at once, 16 images of 512 x 512, in some 250 MB."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """A resize of a rectangle of the image onto a rectangle of the canvas, and how the canvas is then flipped.

    Rectangles are (top, left, height, width) in whole pixels, so that boxes move exactly as the pixels do. When
    zooming in, `source` is a part of the image and `target` the whole canvas; when zooming out, the reverse. A tile of
    a mosaic maps a part to a part.
    """

    source: tuple[int, int, int, int]
    target: tuple[int, int, int, int]
    mirrored: bool
    upside_down: bool = False


Canvas = Sequence[tuple[int, Move]]
"""The tiles of a canvas, which do not overlap: an image's position in the batch, and its move."""


def by_axis(moves: Sequence[Move]) -> Tensor:
    """Return int64 [len(moves), 2, 5] on the host: of x, then of y, start and length in the source, start and length in
    the target, and whether this axis is flipped.
    """
    axes = []
    for one in moves:
        (top, left, height, width), (down, right, rows, columns) = one.source, one.target
        axes.append([[left, width, right, columns, one.mirrored], [top, height, down, rows, one.upside_down]])
    return torch.tensor(axes, dtype=torch.int64)


def resample(images: Tensor, canvases: Sequence[Canvas]) -> Tensor:
    """Return canvases [n, H, W, 3], each of as many tiles, from images [B, H, W, 3]; `PAD` where there is no tile."""
    return one_by_one(images, canvases) if images.device.type == "cpu" else together(images, canvases)


def one_by_one(images: Tensor, canvases: Sequence[Canvas]) -> Tensor:
    """Resize tile by tile with torch's bilinear, antialiased resize; a tile then stays in a processor's cache."""
    planes, size = images.permute(0, 3, 1, 2), images.shape[1:3]
    made = images.new_empty(len(canvases), *images.shape[1:])
    # Filled once, then copied: filling each image with three values takes longer than resizing it.
    blank = _grey(images.device).expand(*size, 3).contiguous()
    for canvas, tiles in zip(made, canvases, strict=True):
        if sum(one.target[2] * one.target[3] for _, one in tiles) < size.numel():
            canvas.copy_(blank)
        for row, one in tiles:
            (top, left, height, width), (down, right, rows, columns) = one.source, one.target
            piece = planes[row : row + 1, :, top : top + height, left : left + width]
            piece = F.interpolate(piece, size=(rows, columns), mode="bilinear", antialias=True)
            if one.mirrored:
                piece, right = piece.flip(3), size[1] - right - columns
            if one.upside_down:
                piece, down = piece.flip(2), size[0] - down - rows
            canvas[down : down + rows, right : right + columns] = piece[0].permute(1, 2, 0)
    return made


def together(images: Tensor, canvases: Sequence[Canvas]) -> Tensor:
    """Resize all tiles by as many kernels for any number of them, up to `PIXELS`; more take several such turns.

    The resize is separable: a matrix [W, W] for the rows of a tile, rounded to bytes, then one [H, H] for its columns.
    A matrix is 0 where the canvas has no pixel of the tile, so that a canvas is the sum of its tiles. Weights are
    torch's for bytes, whole numbers below 2^15 over a power of two. In two parts, each exact in bfloat16, they are exact
    in TF32, too, as bytes are, and float32 holds the sums. The result is `one_by_one`'s to the bit. Only where a side
    shrinks to less than a quarter may a sum round, and one value in a million differs, by 1 (benchmarks/check_together.py).
    """
    tiles = len(canvases[0])
    axes = sent(by_axis([one for canvas in canvases for _, one in canvas]), images.device)
    rows = sent(torch.tensor([[row for row, _ in canvas] for canvas in canvases]), images.device)
    at_once = max(1, PIXELS // (tiles * images.shape[1] * images.shape[2]))
    parts = zip(torch.split(rows, at_once), torch.split(axes.view(-1, tiles, 2, 5), at_once), strict=True)
    return torch.cat([_painted(images, *part) for part in parts])


def _painted(images: Tensor, rows: Tensor, axes: Tensor) -> Tensor:
    """Return canvases [n, H, W, 3] of k tiles each, from images [B, H, W, 3], rows [n, k] and axes [n, k, 2, 5]."""
    (count, tiles), (height, width) = rows.shape, images.shape[1:3]
    weights, inside = _weights(axes.flatten(0, 2), height, width)
    across, down = weights.view(count * tiles, 2, 2, *weights.shape[2:]).unbind(1)  # [n k, 2, side, side]
    across = across[:, :, :width, :width].flatten(1, 2)
    down = down[:, :, :height, :height].reshape(count, tiles, 2, height, height).permute(0, 2, 3, 1, 4)
    planes = images.index_select(0, rows.flatten()).permute(0, 3, 1, 2)
    planes = planes.to(torch.float32, memory_format=torch.contiguous_format).view(count * tiles, 3 * height, width)
    wide = _half_up((planes @ across.mT).view(count * tiles, -1, 2, width).unbind(2)).floor_()  # [n k, 3 H, W]
    wide = wide.view(count, tiles, 3, height, width).permute(0, 1, 3, 4, 2).reshape(count, tiles * height, 3 * width)
    made = down.reshape(count, 2 * height, tiles * height) @ wide
    found = _half_up(made.view(count, 2, height, -1).unbind(1)).to(torch.uint8).view(count, height, width, 3)
    columns, lines = inside.view(count, tiles, 2, -1).unbind(2)
    shown = (lines[:, :, :height, None] & columns[:, :, None, :width]).any(1)
    return torch.where(shown[..., None], found, _grey(images.device))


def _half_up(parts: Sequence[Tensor]) -> Tensor:
    """Return the sum of both parts and 1/2, to be cut to a byte; it is below 256, since weights add up to 1 or nearly."""
    high, low = parts
    return (high + low).add_(0.5)


def _weights(axes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return the weights of F.interpolate's antialiased bilinear resizes of bytes, between lines of pixels.

    Args:
        axes: int64 [m, 5], of x and y in turns, as in `by_axis`.
        height: the canvas's.
        width: the canvas's.

    Returns:
        float32 [m, 2, side, side], side being the longer of the canvas: in two parts to add, the weights of a line of the
        image (last) for each pixel of the canvas (last but one), 0 where it gets none; and bool [m, side], where it gets
        one.
    """
    start, length, target, extent, flipped = axes.double()[..., None].unbind(1)  # [m, 1] each
    place = torch.arange(max(height, width), dtype=torch.float64, device=axes.device) + 0.5
    turned = torch.stack([width - place, height - place]).repeat(len(axes) // 2, 1)
    own, there = place - start, torch.where(flipped > 0, turned, place) - target
    inside, scale = (there > 0) & (there < extent), length / extent
    triangle = 1 - (own[:, None] - (there * scale)[..., None]).abs() / scale.clamp(min=1)[..., None]
    weights = triangle.clamp_(min=0) * (inside[..., None] & ((own > 0) & (own < length))[:, None])
    weights /= weights.sum(2, keepdim=True).clamp_(min=0.1)  # 1/2 at least, but where there is no pixel
    # As torch does for bytes, whole numbers of as many bits as keep the largest weight below 2^15, 22 at most.
    bits = ((2**15 - 0.5) / weights.amax((1, 2), keepdim=True)).log2_().ceil_() - 1
    unit = torch.exp2(-bits.clamp_(max=22))
    whole = ((weights / unit).add_(0.5).floor_() * unit).float()
    high = whole.bfloat16().float()
    return torch.stack([high, whole - high], 1), inside


@lru_cache(maxsize=8)
def _grey(device: torch.device) -> Tensor:
    """Return the padding's three values on the device, uint8 [3]; kept, since the host waits for such a copy."""
    return torch.tensor(PAD, dtype=torch.uint8).to(device)
