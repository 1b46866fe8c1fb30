"""Images decoded once, letterboxed, into one uint8 array (memory-mapped where cached); batches cut from it.

Imports torch and NumPy. Decoding in each epoch would cost more than a small detector's step; indexing a memory-mapped
array costs next to nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scalesearch.data.capacity import Decoding, free_bytes, reserve
from scalesearch.data.decode import decode_image, letterbox, refuse, tried
from scalesearch.data.shard import WHOLE, Shard
from scalesearch.data.split import DataError, Split
from scalesearch.io.progress import bar
from scalesearch.io.publish import publishing

PAD = (124, 116, 104)
"""ImageNet's mean as bytes: `normalise` takes it to 0 +- 0.01, or +- 0.18 by half. EfficientDet pads normalised images
with 0. One value for both lets all detectors share a file of decoded images."""

_VERSION = 1
_THREADS = 4


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

    Where that takes more than `room` bytes (by default nine tenths of the free space: on the disk of `cache`, or in
    memory without one), threads decode the images of each batch on demand, and the notes say so.

    Raises:
        DataError: if images cannot be decoded or do not have their annotated size. All are tried, so that all can be
            mended at once. Without room, it is raised when such an image is asked for.
    """
    scales = np.array([letterbox(image, size)[0] for image in split.images], dtype=np.float32)
    shape = (len(split.images), *size, 3)
    file = cache / f"pixels-{key_of(split)}-{size[0]}x{size[1]}.npy" if cache else None
    lacking = "" if file and file.exists() else _lacking(shape, free_bytes(cache) if room is None else room, cache)
    targets = [(image, ~image.crowd, scale) for image, scale in zip(split.images, scales, strict=True)]
    return Pixels(
        split=split,
        array=_decoding(split, shape) if lacking else _decoded(split, shape, file),
        scales=scales,
        boxes=[image.boxes[kept] * scale for image, kept, scale in targets],
        labels=[image.labels[kept] for image, kept, _ in targets],
        notes=(f"{split.name}: {lacking}",) if lacking else (),
    )


def _lacking(shape: tuple[int, ...], room: int, cache: Path | None) -> str:
    """Say why the decoded images cannot be kept; '' where they can."""
    need = math.prod(shape)
    if need <= room:
        return ""
    where = "free on the cache's disk" if cache else "free in memory"
    return (
        f"{shape[0]} images decoded at {shape[1]}x{shape[2]} take {need / 2**30:.3g} GiB, but {room / 2**30:.3g} GiB are "
        f"{where}: each is decoded again in each epoch"
    )


def _decoding(split: Split, shape: tuple[int, int, int, int]) -> Decoding:
    def decoded(position: int) -> NDArray[np.uint8]:
        pixels = np.empty(shape[1:], dtype=np.uint8)
        _fill(pixels, decode_image(split.images[position], shape[1:3]))
        return pixels

    return Decoding(shape, decoded)


def _decoded(split: Split, shape: tuple[int, int, int, int], file: Path | None) -> NDArray[np.uint8]:
    if file:
        return _cached(split, shape, file)
    array = np.empty(shape, dtype=np.uint8)
    _decode_all(split, array)
    return array


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


def _cached(split: Split, shape: tuple[int, ...], file: Path) -> NDArray[np.uint8]:
    """Return the decoded array, memory-mapped from `file`; decode into it first if missing, published by rename."""
    if not file.exists():
        with publishing(file) as aside:
            array = np.lib.format.open_memmap(aside, mode="w+", dtype=np.uint8, shape=shape)
            _reserved(aside, shape)
            _decode_all(split, array)
            array.flush()
    mapped: NDArray[np.uint8] = np.lib.format.open_memmap(file, mode="r")
    return mapped


def _reserved(file: Path, shape: tuple[int, ...]) -> None:
    try:
        reserve(file)
    except OSError as error:
        raise DataError(
            f"{shape[0]} images decoded at {shape[1]}x{shape[2]} need {math.prod(shape) / 2**30:.3g} GiB in {file.parent}, "
            f"but its disk is filling up ({error.strerror}): make room there."
        ) from error


def key_of(split: Split) -> str:
    """Hash the files' paths, sizes and times: a replaced image is decoded again."""
    digest = hashlib.sha256(f"{_VERSION} {PAD}".encode())
    for image in split.images:
        stat = image.file.stat()
        digest.update(repr((str(image.file.resolve()), stat.st_size, stat.st_mtime_ns)).encode())
    return digest.hexdigest()[:16]


def _decode_all(split: Split, array: NDArray[np.uint8]) -> None:
    """Fill `array` [N, h, w, 3] by a few threads: PIL releases the GIL while it decodes."""
    size, refused = (array.shape[1], array.shape[2]), list[DataError]()
    update = bar("decoding images")
    with ThreadPoolExecutor(_THREADS) as pool:
        for done, pixels in enumerate(pool.map(lambda image: tried(image, size), split.images)):
            if isinstance(pixels, DataError):
                refused.append(pixels)
                continue
            _fill(array[done], pixels)
            update(done + 1, len(split.images), "images")
    if refused:
        refuse(refused, split)


def _fill(place: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> None:
    """Write pixels [rows, columns, 3] into the top left corner of `place` [h, w, 3], and `PAD` elsewhere."""
    rows, columns = pixels.shape[:2]
    place[rows:] = PAD
    place[:rows, columns:] = PAD
    place[:rows, :columns] = pixels
