"""Decoding, letterbox and batches."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from scalesearch.data.coco import DataError, Split, read_split
from scalesearch.data.decoded_file import PAD
from scalesearch.data.pixels import Pixels, batches, eval_batches, open_pixels
from tests.displays import watched


def with_file(split: Split, file: Path) -> Split:
    """The split with its last image alone, of another file."""
    return replace(split, images=(replace(split.images[-1], file=file),))


@pytest.mark.parametrize(
    ("size", "scale", "shown"),
    [
        ((96, 128), 2.0, (96, 128)),
        ((48, 64), 1.0, (48, 64)),
        ((64, 64), 1.0, (48, 64)),
        ((48, 96), 1.0, (48, 64)),
        ((24, 40), 0.5, (24, 32)),
        ((50, 50), 50 / 64, (37, 50)),
    ],
)
def test_letterbox(coco: Path, size: tuple[int, int], scale: float, shown: tuple[int, int]) -> None:
    split = read_split(coco, "train")
    pixels = open_pixels(split, size)
    assert pixels.size == size and pixels.array.dtype == np.uint8
    assert pixels.scales.tolist() == [np.float32(scale)] * 10
    assert (pixels.array[:, shown[0] :] == PAD).all() and (pixels.array[:, :, shown[1] :] == PAD).all()
    assert (pixels.array[0, : shown[0], : shown[1]] == 128).all()
    assert np.array_equal(pixels.boxes[9], split.images[9].boxes * np.float32(scale))


def test_boxes_frame_their_objects_at_any_scale(coco: Path) -> None:
    """The painted rectangle's edge lies on the box: halfway between the colours, to a tenth of a pixel."""
    split = read_split(coco, "train")
    picture = np.full((48, 64, 3), 0, dtype=np.uint8)
    picture[10:30, 20:50] = 200
    PIL.Image.fromarray(picture).save(coco / "one.png")
    one = with_file(split, coco / "one.png")
    for size in [(96, 96), (77, 90), (37, 41), (48, 64)]:
        pixels = open_pixels(one, size)
        scale = float(pixels.scales[0])
        ink = pixels.array[0, :, :, 0].astype(float) / 200
        rows, columns = int(48 * scale + 1e-6), int(64 * scale + 1e-6)
        across = ink[int(20 * scale), :columns].sum() / scale
        down = ink[:rows, int(35 * scale)].sum() / scale
        assert (across, down) == pytest.approx((30, 20), abs=0.1 / scale)
        middle = (ink[int(20 * scale), :columns] * (np.arange(columns) + 0.5)).sum() / (across * scale)
        assert middle == pytest.approx(35 * scale, abs=0.1)


def test_large_jpegs_are_reduced_by_the_decoder_without_moving(coco: Path) -> None:
    split = read_split(coco, "train")
    across, down = np.meshgrid(np.linspace(0, 255, 633), np.linspace(0, 255, 473))
    picture = np.stack([across, down, np.zeros_like(across)], axis=-1).astype(np.uint8)
    PIL.Image.fromarray(picture).save(coco / "a.png")
    PIL.Image.fromarray(picture).save(coco / "a.jpg", quality=98, subsampling=0)
    large = replace(split.images[0], width=633, height=473)
    one, other = (
        open_pixels(replace(split, images=(replace(large, file=coco / name),)), (36, 36)).array.astype(int)
        for name in ("a.png", "a.jpg")
    )
    assert np.abs(one - other).max() <= 3
    assert np.abs((one - other).mean(axis=(0, 1, 2))).max() < 0.3


def test_crowds_are_no_targets(coco: Path) -> None:
    split = read_split(coco, "train")
    pixels = open_pixels(split, (48, 64))
    assert len(split.images[1].boxes) == 2 and len(pixels.boxes[1]) == len(pixels.labels[1]) == 1


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("L", "png"),
        ("RGBA", "png"),
        ("P", "png"),
        ("LA", "png"),
        ("1", "png"),
        ("L", "jpg"),
        ("CMYK", "jpg"),
    ],
)
def test_modes_become_rgb(coco: Path, mode: str, suffix: str) -> None:
    split = read_split(coco, "train")
    PIL.Image.new("RGB", (64, 48), (255, 255, 255)).convert(mode).save(coco / f"one.{suffix}")
    array = open_pixels(with_file(split, coco / f"one.{suffix}"), (48, 64)).array
    assert array.shape == (1, 48, 64, 3) and (array >= 250).all()


def test_palettes_with_transparency_do_not_warn(coco: Path) -> None:
    split = read_split(coco, "train")
    PIL.Image.new("P", (64, 48), 0).save(coco / "one.png", transparency=b"\x00\x80")
    assert open_pixels(with_file(split, coco / "one.png"), (48, 64)).array.shape == (1, 48, 64, 3)


def test_sixteen_bits_are_refused(coco: Path) -> None:
    split = read_split(coco, "train")
    PIL.Image.fromarray(np.zeros((48, 64), dtype=np.uint16)).save(coco / "one.png")
    with pytest.raises(DataError, match=r"8 bits a channel, or say their range .*one.png is of PIL's mode I"):
        open_pixels(with_file(split, coco / "one.png"), (48, 64))


@pytest.mark.parametrize("stored", [(64, 48), (48, 64)])
def test_exif_turns_where_that_gives_the_annotated_size(coco: Path, stored: tuple[int, int]) -> None:
    """Orientation 6, a quarter turn, makes a 48x64 file 64x48, as annotated; a 64x48 file is so already."""
    split = read_split(coco, "train")
    image = PIL.Image.new("RGB", stored, (0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 16, 16))
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    image.save(coco / "one.jpg", exif=exif, quality=95)
    array = open_pixels(with_file(split, coco / "one.jpg"), (48, 64)).array[0]
    corner = array[4, 60] if stored == (48, 64) else array[4, 4]
    assert (corner > 240).all() and array.mean() < 40


def test_other_sizes_than_annotated_are_refused(coco: Path) -> None:
    split = read_split(coco, "train")
    PIL.Image.new("RGB", (65, 48)).save(coco / "one.png")
    with pytest.raises(DataError, match=r"one.png is 65x48 and its annotation says 64x48"):
        open_pixels(with_file(split, coco / "one.png"), (48, 64))


def test_broken_images_are_refused_and_leave_nothing_behind(coco: Path) -> None:
    split = read_split(coco, "train")
    whole = (coco / "train" / "9.png").read_bytes()
    (coco / "train" / "9.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"must be readable, but .*9.png is not"):
        open_pixels(split, (48, 64), coco / "cache")
    assert list((coco / "cache").iterdir()) == []


def test_the_cache_holds_the_same_and_follows_the_files(coco: Path) -> None:
    split = read_split(coco, "train")
    cache = coco / "deep" / "cache"
    plain, seen = open_pixels(split, (40, 40)), list[tuple[int, int]]()
    with watched(lambda done, of, what: seen.append((done, of))):
        first = open_pixels(split, (40, 40), cache)
        assert seen == [(done + 1, 10) for done in range(10)]
        again = open_pixels(split, (40, 40), cache)
    assert len(seen) == 10 and len(list(cache.iterdir())) == 1
    assert isinstance(again.array, np.memmap) and not again.array.flags.writeable
    assert np.array_equal(plain.array, first.array) and np.array_equal(plain.array, again.array)
    open_pixels(split, (40, 48), cache)
    PIL.Image.new("RGB", (64, 48), (1, 2, 3)).save(coco / "train" / "0.png")
    os.utime(coco / "train" / "0.png", (1, 1))
    assert (open_pixels(split, (40, 40), cache).array[0, :30] == (1, 2, 3)).all()
    assert len(list(cache.iterdir())) == 3


@pytest.fixture
def pixels(coco: Path) -> Pixels:
    return open_pixels(read_split(coco, "train"), (48, 64))


def order(pixels: Pixels, seed: int, epoch: int, batch: int = 3) -> list[int]:
    return [int(row) for batch_ in batches(pixels, batch=batch, seed=seed, epoch=epoch) for row in batch_.index]


def test_epochs_differ_and_repeat(pixels: Pixels) -> None:
    orders = [tuple(order(pixels, seed, epoch)) for seed in (0, 1) for epoch in (0, 1, 2)]
    assert len(set(orders)) == 6
    assert orders == [tuple(order(pixels, seed, epoch)) for seed in (0, 1) for epoch in (0, 1, 2)]
    assert sorted(order(pixels, 0, 0, batch=5)) == list(range(10))


def test_the_last_short_batch_is_dropped_unless_alone(pixels: Pixels) -> None:
    assert [len(batch.index) for batch in batches(pixels, batch=4, seed=0, epoch=0)] == [4, 4]
    assert [len(batch.index) for batch in batches(pixels, batch=10, seed=0, epoch=0)] == [10]
    assert [len(batch.index) for batch in batches(pixels, batch=16, seed=0, epoch=0)] == [10]


def test_batches_are_padded(pixels: Pixels) -> None:
    for batch in [*batches(pixels, batch=4, seed=0, epoch=0), *eval_batches(pixels, 4)]:
        assert (batch.images.dtype, batch.boxes.dtype, batch.labels.dtype) == (
            torch.uint8,
            torch.float32,
            torch.int64,
        )
        counts = [len(pixels.labels[row]) for row in batch.index]
        assert batch.boxes.shape == (len(counts), max(1, *counts), 4) and batch.labels.shape == batch.boxes.shape[:2]
        for row, (position, count) in enumerate(zip(batch.index.tolist(), counts, strict=True)):
            assert np.array_equal(batch.images[row], pixels.array[position])
            assert np.array_equal(batch.boxes[row, :count], pixels.boxes[position])
            assert np.array_equal(batch.labels[row, :count], pixels.labels[position])
            assert (batch.boxes[row, count:] == 0).all() and (batch.labels[row, count:] == -1).all()


def test_evaluation_sees_every_image_in_order(pixels: Pixels) -> None:
    parts = [batch.index.tolist() for batch in eval_batches(pixels, 4)]
    assert parts == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_batch_without_objects_has_room_for_one(pixels: Pixels) -> None:
    first = next(eval_batches(pixels, 1))
    assert first.boxes.shape == (1, 1, 4) and first.labels.tolist() == [[-1]]
