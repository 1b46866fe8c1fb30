"""Jitter moves boxes exactly as it moves pixels; normalisation is ImageNet's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scalesearch.data.augment import jitter, move, normalise
from scalesearch.data.decoded_file import PAD
from scalesearch.data.resample import Move

HEIGHT, WIDTH = 60, 80


def scene(count: int = 24) -> tuple[Tensor, Tensor, Tensor]:
    """White rectangles on black, one an image and one padded row: uint8 [B, H, W, 3], boxes, labels."""
    generator = torch.Generator().manual_seed(3)
    images = torch.zeros(count, HEIGHT, WIDTH, 3, dtype=torch.uint8)
    boxes = torch.zeros(count, 2, 4)
    for row in range(count):
        left, top = (int(torch.randint(0, side - 24, (), generator=generator)) for side in (WIDTH, HEIGHT))
        across, down = (int(torch.randint(12, 25, (), generator=generator)) for _ in range(2))
        images[row, top : top + down, left : left + across] = 255
        boxes[row, 0] = torch.tensor([left, top, left + across, top + down])
    labels = torch.tensor([[row % 5, -1] for row in range(count)])
    return images, boxes, labels


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def framed(image: Tensor, threshold: float) -> list[float]:
    """xyxy of what is brighter than `threshold` in [H, W]."""
    rows, columns = (image > threshold).nonzero(as_tuple=True)
    return [float(value) for value in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)]


@pytest.mark.parametrize("vertical", [False, True])
@pytest.mark.parametrize(("scale", "flip"), [((0.5, 2.0), True), ((0.4, 0.6), False), ((1.5, 2.0), True)])
def test_boxes_still_frame_what_they_framed(scale: tuple[float, float], flip: bool, vertical: bool) -> None:
    images, boxes, labels = scene()
    moved, moved_boxes, moved_labels = jitter(
        images, boxes, labels, seeded(), scale=scale, flip=flip, flip_vertical=vertical
    )
    assert moved.shape == images.shape and moved.dtype == torch.uint8
    planes = moved[..., 0]
    kept = moved_labels[:, 0] >= 0
    assert kept.sum() >= 8 and (moved_labels[kept, 0] == labels[kept, 0]).all()
    for row in kept.nonzero()[:, 0].tolist():
        assert moved_boxes[row, 0].tolist() == pytest.approx(framed(planes[row], 127), abs=1.0)
        assert planes[row].max() > 200


def test_zooms_fill_the_range_and_half_are_mirrored() -> None:
    images, boxes, labels = scene(400)
    boxes[:, 0] = torch.tensor([30.0, 20.0, 50.0, 40.0])
    _, moved, _ = jitter(images, boxes, labels, seeded(), scale=(0.5, 1.0), flip=False)
    zooms = (moved[:, 0, 2] - moved[:, 0, 0]) / 20
    assert zooms.min() < 0.53 and zooms.max() > 0.96
    assert 0.45 < (zooms < 0.5**0.5).float().mean() < 0.55
    boxes[:, 0] = torch.tensor([0.0, 0.0, 8.0, 8.0])
    _, moved, _ = jitter(images, boxes, labels, seeded(), scale=(1.0, 1.0), flip=True)
    assert set(moved[:, 0, 0].tolist()) == {0.0, 72.0}
    assert 0.4 < (moved[:, 0, 0] > 0).float().mean() < 0.6


def test_each_of_the_four_ways_round_is_as_frequent() -> None:
    images, boxes, labels = scene(800)
    boxes[:, 0] = torch.tensor([0.0, 0.0, 8.0, 8.0])
    _, moved, _ = jitter(images, boxes, labels, seeded(), scale=(1.0, 1.0), flip=True, flip_vertical=True)
    ways, counts = moved[:, 0, :2].unique(dim=0, return_counts=True)
    assert ways.tolist() == [[0, 0], [0, 52], [72, 0], [72, 52]]
    assert counts.min() > 160 and counts.max() < 240
    _, alone, _ = jitter(images, boxes, labels, seeded(), scale=(1.0, 1.0), flip=False, flip_vertical=True)
    assert torch.equal(alone[:, 0, 1], moved[:, 0, 1]) and not alone[:, 0, 0].any()


def test_no_zoom_and_no_flip_is_identity() -> None:
    images, boxes, labels = scene()
    images = torch.randint(0, 256, images.shape, generator=seeded(), dtype=torch.uint8)
    for one, other in zip(
        jitter(images, boxes, labels, seeded(), scale=(1, 1), flip=False),
        (images, boxes, labels),
        strict=True,
    ):
        assert torch.equal(one, other) and one.data_ptr() != other.data_ptr()


@pytest.mark.parametrize(("mirrored", "upside_down"), [(True, False), (False, True), (True, True)])
def test_flipping_twice_is_identity(mirrored: bool, upside_down: bool) -> None:
    images, boxes, labels = scene()
    images = torch.randint(0, 256, images.shape, generator=seeded(), dtype=torch.uint8)
    canvas = (0, 0, HEIGHT, WIDTH)
    flip = [Move(source=canvas, target=canvas, mirrored=mirrored, upside_down=upside_down)] * len(images)
    once = move(images, boxes, labels, flip)
    assert torch.equal(once[0], images.flip([2] * mirrored + [1] * upside_down))
    assert all(torch.equal(*pair) for pair in zip(move(*once, flip), (images, boxes, labels), strict=True))


def test_a_move_by_hand() -> None:
    """The right half, twice as large; of three boxes one goes, one is cut in the middle, one loses 4/5."""
    images = torch.zeros(1, 60, 80, 3, dtype=torch.uint8)
    boxes = torch.tensor([[[0, 30, 20, 40], [30, 30, 50, 40], [32, 30, 42, 40.0]]])
    right = Move(source=(30, 40, 30, 40), target=(0, 0, 60, 80), mirrored=False)
    _, moved, labels = move(images, boxes, torch.tensor([[1, 2, 3]]), [right])
    assert moved.tolist() == [[[0, 0, 0, 0], [0, 0, 20, 20], [0, 0, 0, 0]]]
    assert labels.tolist() == [[-1, 2, -1]]


def test_what_shows_when_zooming_out_is_mean_grey() -> None:
    images, boxes, labels = scene(2)
    corner = Move(source=(0, 0, HEIGHT, WIDTH), target=(0, 0, 30, 40), mirrored=False)
    moved = move(images, boxes, labels, [corner] * 2)[0]
    assert (moved[:, 30:] == torch.tensor(PAD)).all() and (moved[:, :, 40:] == torch.tensor(PAD)).all()
    assert normalise(moved)[:, :, 30:].abs().max() < 0.01


def test_the_generator_decides_all() -> None:
    first, again, other = (jitter(*scene(), seeded(seed), scale=(0.5, 2), flip=True) for seed in (1, 1, 2))
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[1], other[1])


@pytest.mark.parametrize("scale", [(0.0, 1.0), (2.0, 1.0), (-1.0, 1.0)])
def test_scales_out_of_order_are_refused(scale: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="0 < low <= high must hold"):
        jitter(*scene(2), seeded(), scale=scale, flip=False)


@pytest.mark.parametrize(
    ("by", "mean", "deviation"),
    [("imagenet", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)), ("half", (127,) * 3, (128,) * 3)],
)
def test_normalise_is_the_published_one(
    by: str, mean: tuple[float, float, float], deviation: tuple[float, float, float]
) -> None:
    """google/automl: 255 times ImageNet's statistics; hparams_config.py of the lite ones."""
    images = torch.randint(0, 256, (2, 5, 7, 3), generator=seeded(), dtype=torch.uint8)
    made = normalise(images, by)
    wanted = (images.double() - torch.tensor(mean)) / torch.tensor(deviation)
    assert made.dtype == torch.float32 and made.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(made, wanted.permute(0, 3, 1, 2).float(), atol=1e-6)
