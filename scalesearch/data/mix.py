"""Mosaic and mixup within a batch; torchvision's v2 has none that keep boxes. Imports torch.

Partners come from the same batch, so that each batch is decoded and copied to a GPU once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from scalesearch.data.augment import clip_boxes, moved_boxes
from scalesearch.data.resample import Canvas, Move, by_axis, resample
from scalesearch.data.transfer import sent

Tensors = tuple[Tensor, Tensor, Tensor]
"""Images uint8 [B, H, W, 3], boxes float32 [B, M, 4] xyxy, labels int64 [B, M] with -1 for none."""

EDGE = 0.25
"""A mosaic's centre keeps this share of the canvas on each side, so that no tile is a sliver."""


def mosaic(images: Tensor, boxes: Tensor, labels: Tensor, generator: torch.Generator, *, share: float) -> Tensors:
    """Replace about `share` of the images by a mosaic of four from the batch around a random centre (YOLOv4 sec. 3.3).

    One of the four is the image itself, at a random corner. A tile shows as much of its image as fits its shape, at the
    image's own proportions. Boxes are clipped to their tile and dropped as `jitter` drops them. `generator`, on the
    CPU, is the only source of randomness. Returns the same three, with as many columns of boxes as are needed.
    """
    count, size = len(images), (images.shape[1], images.shape[2])
    draws = torch.rand(count, 4 + 2 * 4, generator=generator, dtype=torch.float64).tolist()
    partners = torch.randint(count, (count, 4), generator=generator).tolist()
    # Three times as many columns more, for the boxes of the other tiles.
    more_boxes = F.pad(boxes, (0, 0, 0, 3 * boxes.shape[1]))
    more_labels = F.pad(labels, (0, 3 * labels.shape[1]), value=-1)
    chosen, canvases = [], []
    for row, (draw, down, across, own, *places) in enumerate(draws):
        if draw < share:
            partners[row][int(4 * own)] = row
            chosen.append(row)
            canvases.append(list(zip(partners[row], tiles(size, (down, across), places), strict=True)))
    if not chosen:
        return images.clone(), *packed(more_boxes, more_labels)
    rows = sent(torch.tensor(chosen), images.device)
    tiled_boxes, tiled_labels = _tiled(boxes, labels, canvases)
    return (
        images.index_copy(0, rows, resample(images, canvases)),
        *packed(more_boxes.index_copy_(0, rows, tiled_boxes), more_labels.index_copy_(0, rows, tiled_labels)),
    )


def tiles(size: tuple[int, int], centre: Sequence[float], places: Sequence[float]) -> list[Move]:
    """Return the four moves of a mosaic on a canvas (h, w), row by row from the top left; draws are from [0, 1)."""
    down, across = (round(side * (EDGE + (1 - 2 * EDGE) * draw)) for side, draw in zip(size, centre, strict=True))
    targets = [(y, x, h, w) for y, h in ((0, down), (down, size[0] - down)) for x, w in _halves(across, size[1])]
    moves = []
    for k, target in enumerate(targets):
        zoom = max(target[2] / size[0], target[3] / size[1])
        height, width = (min(side, max(1, round(part / zoom))) for side, part in zip(size, target[2:], strict=True))
        top, left = (
            int(draw * (side - part + 1))
            for draw, side, part in zip(places[2 * k :], size, (height, width), strict=False)
        )
        moves.append(Move(source=(top, left, height, width), target=target, mirrored=False))
    return moves


def _halves(split: int, side: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return (0, split), (split, side - split)


def _tiled(boxes: Tensor, labels: Tensor, canvases: Sequence[Canvas]) -> tuple[Tensor, Tensor]:
    """Move boxes [B, M, 4] and labels [B, M] to n canvases of four tiles: [n, 4 M, 4] and [n, 4 M]."""
    rows = sent(torch.tensor([row for canvas in canvases for row, _ in canvas]), boxes.device)
    axes = sent(by_axis([one for canvas in canvases for _, one in canvas]), boxes.device)
    low, extent = (axes[:, None, :, k].to(boxes.dtype).repeat(1, 1, 2) for k in (2, 3))  # [4 n, 1, xyxy]
    # Tiles are not flipped, so that the canvas's size is not needed.
    whole = moved_boxes(boxes.index_select(0, rows), axes, boxes.new_zeros(2))
    clipped, kept = clip_boxes(whole, labels.index_select(0, rows), low, low + extent)
    return clipped.view(len(canvases), -1, 4), kept.view(len(canvases), -1)


def mixup(images: Tensor, boxes: Tensor, labels: Tensor, generator: torch.Generator, *, share: float) -> Tensors:
    """Replace about `share` of the images by their mean with another of the batch; all boxes of both count in full.

    The mean is YOLOX's even one, not weighted by a draw from Beta(1.5, 1.5) as in Bag of Freebies, whose loss weights
    objects by it. The partners are the batch rolled by a random number of places. A batch of one stays as it is.
    """
    count = len(images)
    draws = torch.rand(count, generator=generator, dtype=torch.float64)
    turn = int(torch.randint(1, max(2, count), (), generator=generator))
    chosen = sent(draws < share, images.device)
    if count == 1:
        return images, boxes, labels
    mean = ((images.to(torch.int16) + images.roll(turn, 0) + 1) >> 1).to(torch.uint8)
    theirs = torch.where(chosen[:, None], labels.roll(turn, 0), -1)
    both = torch.cat([boxes, boxes.roll(turn, 0)], 1), torch.cat([labels, theirs], 1)
    return torch.where(chosen[:, None, None, None], mean, images), *packed(*both)


def packed(boxes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Move objects before padding in boxes [B, M, 4] and labels [B, M], in order; keep only columns needed (>= 1)."""
    order = (labels < 0).to(torch.uint8).argsort(dim=1, stable=True)
    most = max(1, int((labels >= 0).sum(1).max()))
    order = order[:, :most]
    kept = labels.gather(1, order)
    return boxes.gather(1, order[..., None].expand(-1, -1, 4)) * (kept >= 0)[..., None], kept
