"""Images decoded once, letterboxed, into one uint8 array (memory-mapped where cached); batches cut from it.

Imports torch, NumPy and PIL. Decoding costs more than a small detector's step can afford at each epoch, an
index into a memory-mapped array next to nothing.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps
import torch
from numpy.typing import NDArray
from torch import Tensor

from scalesearch.data.split import DataError, Image, Progress, Split

PAD = (124, 116, 104)
"""ImageNet's mean as bytes: `normalise` takes it to 0 +- 0.01. EfficientDet pads normalised images with 0."""

_VERSION = 1
_THREADS = 4
_ORIENTATION = 0x0112


@dataclass(frozen=True, kw_only=True, eq=False)
class Pixels:
    """A split at one input size. Boxes are xyxy in input pixels; crowds (no training targets) are absent."""

    split: Split
    array: NDArray[np.uint8]
    """[N, h, w, 3] RGB, each image scaled by `scales` into the top left corner, `PAD` elsewhere."""
    scales: NDArray[np.float32]
    """[N] input pixels per pixel of the image."""
    boxes: list[NDArray[np.float32]]
    """N times [n, 4]."""
    labels: list[NDArray[np.int64]]
    """N times [n]."""

    @property
    def size(self) -> tuple[int, int]:
        """(h, w)."""
        return self.array.shape[1], self.array.shape[2]

    def __len__(self) -> int:
        return len(self.array)


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """B images and their at most M objects (M >= 1), padded."""

    images: Tensor
    """uint8 [B, h, w, 3]."""
    boxes: Tensor
    """float32 [B, M, 4] xyxy in input pixels, padded with 0."""
    labels: Tensor
    """int64 [B, M], padded with -1."""
    index: Tensor
    """int64 [B], positions in the split."""


def open_pixels(
    split: Split, size: tuple[int, int], cache: Path | None = None, progress: Progress | None = None
) -> Pixels:
    """The split at input size (h, w); with `cache`, decoded into a file there once and memory-mapped.

    Raises:
        DataError: if an image cannot be decoded, or is not of the size that the annotations say.
    """
    scales = np.array([letterbox(image, size)[0] for image in split.images], dtype=np.float32)
    shape = (len(split.images), *size, 3)
    if cache is None:
        array = np.empty(shape, dtype=np.uint8)
        _decode_all(split, array, progress)
    else:
        array = _cached(split, shape, cache, progress)
    targets = [(image, ~image.crowd, scale) for image, scale in zip(split.images, scales, strict=True)]
    return Pixels(
        split=split,
        array=array,
        scales=scales,
        boxes=[image.boxes[kept] * scale for image, kept, scale in targets],
        labels=[image.labels[kept] for image, kept, _ in targets],
    )


def letterbox(image: Image, size: tuple[int, int]) -> tuple[float, int, int]:
    """(scale, rows, columns) of an image inside (h, w): the largest that fits; a broken last row is cut."""
    scale = min(size[0] / image.height, size[1] / image.width)
    rows, columns = (max(1, int(side * scale + 1e-6)) for side in (image.height, image.width))
    return scale, rows, columns


def split_targets(split: Split, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """All training targets of a split at input size (h, w): boxes [n, 4] xyxy in input pixels, labels [n]."""
    kept = [(image.boxes[~image.crowd] * letterbox(image, size)[0], image.labels[~image.crowd]) for image in split.images]
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(boxes for boxes, _ in kept)]).astype(np.float32)
    labels = np.concatenate([np.zeros(0, np.int64), *(labels for _, labels in kept)])
    return torch.from_numpy(boxes), torch.from_numpy(labels)


def batches(pixels: Pixels, *, batch: int, seed: int, epoch: int) -> Iterator[Batch]:
    """One epoch of training batches, in an order that is a function of (seed, epoch) only.

    The last short batch is dropped unless it is the only one.
    """
    order = np.random.Generator(np.random.PCG64([seed, epoch])).permutation(len(pixels))
    for start in range(0, max(1, len(order) - batch + 1), batch):
        yield _batch(pixels, order[start : start + batch])


def eval_batches(pixels: Pixels, batch: int) -> Iterator[Batch]:
    """All images in their order; the last batch may be short."""
    for start in range(0, len(pixels), batch):
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


def _cached(split: Split, shape: tuple[int, ...], cache: Path, progress: Progress | None) -> NDArray[np.uint8]:
    """The decoded array from the cache, decoded into it first where it is not there; published by rename."""
    file = cache / f"pixels-{_key(split)}-{shape[1]}x{shape[2]}.npy"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=cache, prefix=file.stem, suffix=".part")
        os.close(handle)
        try:
            array = np.lib.format.open_memmap(name, mode="w+", dtype=np.uint8, shape=shape)
            _decode_all(split, array, progress)
            array.flush()
            os.replace(name, file)
        finally:
            Path(name).unlink(missing_ok=True)
    mapped: NDArray[np.uint8] = np.lib.format.open_memmap(file, mode="r")
    return mapped


def _key(split: Split) -> str:
    """Which files, as they are now: an image that is replaced is decoded again."""
    digest = hashlib.sha256(f"{_VERSION} {PAD}".encode())
    for image in split.images:
        stat = image.file.stat()
        digest.update(repr((str(image.file.resolve()), stat.st_size, stat.st_mtime_ns)).encode())
    return digest.hexdigest()[:16]


def _decode_all(split: Split, array: NDArray[np.uint8], progress: Progress | None) -> None:
    """Fills `array` [N, h, w, 3] by a few threads: PIL lets go of the interpreter while it decodes."""
    size = (array.shape[1], array.shape[2])
    with ThreadPoolExecutor(_THREADS) as pool:
        for done, pixels in enumerate(pool.map(lambda image: _decode(image, size), split.images)):
            rows, columns = pixels.shape[:2]
            array[done, rows:] = PAD
            array[done, :rows, columns:] = PAD
            array[done, :rows, :columns] = pixels
            if progress is not None:
                progress(done + 1, len(split.images))


def _decode(image: Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """uint8 [rows, columns, 3], upright, at the scale of its letterbox."""
    scale, rows, columns = letterbox(image, size)
    try:
        with PIL.Image.open(image.file) as opened:
            upright, factor = _upright(opened, image, max(rows, columns))
            upright = rgb(upright, image)
    except OSError as error:
        raise DataError(f"an image must be readable, but {image.file} is not ({error}): write it again.") from error
    # The source rectangle that the letterbox shows, so that one scale holds exactly on both axes.
    region = (min(columns / scale / factor, upright.width), min(rows / scale / factor, upright.height))
    resized = upright.resize((columns, rows), PIL.Image.Resampling.BILINEAR, box=(0, 0, *region))
    return np.asarray(resized)


def _upright(opened: PIL.Image.Image, image: Image, longest: int) -> tuple[PIL.Image.Image, int]:
    """The image, turned as EXIF says if that gives the annotated size, and libjpeg's reduction."""
    stored = opened.size
    orientation = opened.getexif().get(_ORIENTATION, 1)
    turned = stored[::-1] if orientation >= 5 else stored
    annotated = (image.width, image.height)
    if annotated not in (turned, stored):
        raise DataError(
            f"an image must be of its annotated size, but {image.file} is {turned[0]}x{turned[1]} and its "
            f"annotation says {annotated[0]}x{annotated[1]}: mend the one that is wrong."
        )
    # libjpeg need not compute more than twice the size needed; the resize that follows smooths the rest.
    across, down = (max(1, 2 * longest * side // max(stored)) for side in stored)
    opened.draft("RGB", (across, down))
    factor = round(stored[0] / opened.width)
    return (PIL.ImageOps.exif_transpose(opened) if annotated == turned else opened), factor


def rgb(upright: PIL.Image.Image, image: Image) -> PIL.Image.Image:
    """The picture of `image` in RGB, of whatever mode it is. DataError for more than 8 bits a channel."""
    if upright.mode.startswith(("I", "F")):
        raise DataError(
            f"images must have 8 bits a channel, but {image.file} is of PIL's mode {upright.mode}: convert "
            f"it, since how its values scale to 8 bits is yours to say."
        )
    if "transparency" in upright.info:
        # PIL warns where a palette with transparency is not taken by way of RGBA.
        upright = upright.convert("RGBA")
    return upright.convert("RGB")
