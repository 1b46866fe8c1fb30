"""Images decoded once, letterboxed, into one uint8 array (memory-mapped where cached); batches cut from it.

Imports torch and NumPy. Decoding in each epoch would cost more than a small detector's step; indexing a memory-mapped
array costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scalesearch.data.capacity import Decoding
from scalesearch.data.decode import decode_image, letterbox
from scalesearch.data.decoded_file import decode_all, fill, kept_in_file, lacks_room
from scalesearch.data.shard import WHOLE, Shard
from scalesearch.data.split import Split


@dataclass(frozen=True, kw_only=True, eq=False)
class Pixels:
    """A split at one input size. Boxes are xyxy in input pixels. Crowds are left out: they are no training targets."""

    split: Split
    array: NDArray[np.uint8] | Decoding
    """uint8 [N, h, w, 3] RGB, each image scaled by `scales` into the top left corner, `PAD` elsewhere."""
    scales: NDArray[np.float32]
    """[N] input pixels per pixel of the image."""
    boxes: list[NDArray[np.float32]]
    """One [n, 4] for each image."""
    labels: list[NDArray[np.int64]]
    """One [n] for each image."""
    notes: tuple[str, ...] = ()
    """A note where there is no space to keep the decoded images."""
    normalisation: str = "imagenet"
    """How `normalise` treats them for the detector that they are for."""

    @property
    def size(self) -> tuple[int, int]:
        """(h, w)."""
        return self.array.shape[1], self.array.shape[2]

    def __len__(self) -> int:
        return len(self.array)


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """B images and at most M objects for each (M >= 1), padded."""

    images: Tensor
    """uint8 [B, h, w, 3]."""
    boxes: Tensor
    """float32 [B, M, 4] xyxy in input pixels, padded with 0."""
    labels: Tensor
    """int64 [B, M], padded with -1."""
    index: Tensor
    """int64 [B], positions in the split."""


def open_pixels(
    split: Split,
    size: tuple[int, int],
    cache: Path | None = None,
    *,
    room: int | None = None,
) -> Pixels:
    """Open the split at input size (h, w); with `cache`, decoded once into a file there and memory-mapped.

    Of the processes of a machine that open the same at once, one decodes. Where the images take more than `room` bytes
    (by default nine tenths of the free space: on the disk of `cache`, or in memory without one), or the cache cannot be
    written, threads decode the images of each batch on demand, and the notes say so.

    Raises:
        DataError: if images cannot be decoded or do not have their annotated size. All are tried, so that all can be
            mended at once. Without room, it is raised when such an image is asked for.
    """
    scales = np.array([letterbox(image, size)[0] for image in split.images], dtype=np.float32)
    shape = (len(split.images), *size, 3)
    kept = _in_memory(split, shape, room) if cache is None else kept_in_file(split, shape, cache, room)
    targets = [(image, ~image.crowd, scale) for image, scale in zip(split.images, scales, strict=True)]
    return Pixels(
        split=split,
        array=_decoding(split, shape) if isinstance(kept, str) else kept,
        scales=scales,
        boxes=[image.boxes[kept] * scale for image, kept, scale in targets],
        labels=[image.labels[kept] for image, kept, _ in targets],
        notes=(f"{split.name}: {kept}: each is decoded again in each epoch",) if isinstance(kept, str) else (),
    )


def _in_memory(split: Split, shape: tuple[int, int, int, int], room: int | None) -> NDArray[np.uint8] | str:
    """Return the decoded images, or why they cannot be kept."""
    if lacking := lacks_room(shape, room, None):
        return lacking
    array = np.empty(shape, dtype=np.uint8)
    decode_all(split, array)
    return array


def _decoding(split: Split, shape: tuple[int, int, int, int]) -> Decoding:
    def decoded(position: int) -> NDArray[np.uint8]:
        pixels = np.empty(shape[1:], dtype=np.uint8)
        fill(pixels, decode_image(split.images[position], shape[1:3]))
        return pixels

    return Decoding(shape, decoded)


def split_targets(split: Split, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return all training targets of a split at input size (h, w): boxes [n, 4] xyxy in input pixels, labels [n]."""
    kept = [
        (image.boxes[~image.crowd] * letterbox(image, size)[0], image.labels[~image.crowd]) for image in split.images
    ]
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(boxes for boxes, _ in kept)]).astype(np.float32)
    labels = np.concatenate([np.zeros(0, np.int64), *(labels for _, labels in kept)])
    return torch.from_numpy(boxes), torch.from_numpy(labels)


def batches(
    pixels: Pixels, *, batch: int, seed: int, epoch: int, first: int = 0, shard: Shard = WHOLE
) -> Iterator[Batch]:
    """Yield one epoch of training batches, the shard's part of each, in an order that depends on (seed, epoch) only.

    A short last batch is dropped unless it is the only one. Batches before the `first`-th, from 0, are skipped.
    """
    order = np.random.Generator(np.random.PCG64([seed, epoch])).permutation(len(pixels))
    for start in range(first * batch, max(1, len(order) - batch + 1), batch):
        index = order[start : start + batch]
        yield _batch(pixels, index[shard.rows(len(index))])


def eval_batches(pixels: Pixels, batch: int, shard: Shard = WHOLE) -> Iterator[Batch]:
    """Yield all images in order; the last batch may be short. Each of `world` processes has every `world`-th batch."""
    for start in range(shard.rank * batch, len(pixels), shard.world * batch):
        yield _batch(pixels, np.arange(start, min(start + batch, len(pixels))))


def _batch(pixels: Pixels, index: NDArray[np.int64]) -> Batch:
    most = max(1, *(len(pixels.labels[position]) for position in index))
    boxes = np.zeros((len(index), most, 4), dtype=np.float32)
    labels = np.full((len(index), most), -1, dtype=np.int64)
    for row, position in enumerate(index):
        count = len(pixels.labels[position])
        boxes[row, :count] = pixels.boxes[position]
        labels[row, :count] = pixels.labels[position]
    return Batch(
        images=torch.from_numpy(np.asarray(pixels.array[index])),
        boxes=torch.from_numpy(boxes),
        labels=torch.from_numpy(labels),
        index=torch.from_numpy(index),
    )
