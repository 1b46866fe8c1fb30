"""Our batched augmentations against torchvision's v2, image by image, on its tv_tensors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F
from torchvision.tv_tensors import BoundingBoxes, BoundingBoxFormat
from torchvision.tv_tensors import Image as Picture

from scalesearch.data.augment import VISIBLE, move
from scalesearch.data.colour import OPERATIONS, factor, jitter_colour, together
from scalesearch.data.decoded_file import PAD
from scalesearch.data.mix import mixup, mosaic, packed, tiles
from scalesearch.data.resample import Move

HEIGHT, WIDTH = 60, 80
STRENGTHS = (0.4, 0.3, 0.5, 0.1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(count: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (count, HEIGHT, WIDTH, 3), generator=seeded(seed), dtype=torch.uint8)


def objects(count: int, most: int = 3, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Up to `most` boxes an image, the i-th image's without the first i % (most + 1)."""
    generator = seeded(seed)
    corners = torch.rand(count, most, 2, generator=generator) * torch.tensor([WIDTH - 30, HEIGHT - 30])
    boxes = torch.cat([corners, corners + 8 + 20 * torch.rand(count, most, 2, generator=generator)], 2)
    labels = torch.arange(most).expand(count, -1) + 10 * torch.arange(count)[:, None]
    there = torch.arange(most) >= (torch.arange(count) % (most + 1))[:, None]
    return boxes * there[..., None], torch.where(there, labels, -1)


def boxed(boxes: Tensor) -> BoundingBoxes:
    return BoundingBoxes(boxes, format=BoundingBoxFormat.XYXY, canvas_size=(HEIGHT, WIDTH))  # type: ignore[call-arg]


def theirs(image: Tensor, boxes: Tensor, one: Move) -> tuple[Tensor, Tensor]:
    """v2's crop, resize, pad and flip of one image [H, W, 3] and its boxes [M, 4]."""
    (top, left, height, width), (down, right, rows, columns) = one.source, one.target
    pair = Picture(image.permute(2, 0, 1).contiguous()), boxed(boxes)
    # v2's crop of boxes does not clip; neither does ours before it has looked at what is left.
    whole: list[Tensor] = []
    for part in pair:
        cut = F.crop(part, top, left, height, width)
        sized = F.resize(cut, [rows, columns], antialias=True)
        fill = list(PAD) if isinstance(part, Picture) else None
        padded = F.pad(sized, [right, down, WIDTH - right - columns, HEIGHT - down - rows], fill=fill)
        turned = F.vertical_flip(padded) if one.upside_down else padded
        whole.append(F.horizontal_flip(turned) if one.mirrored else turned)
    return whole[0].as_subclass(Tensor).permute(1, 2, 0), whole[1].as_subclass(Tensor)


@pytest.mark.parametrize("upside_down", [False, True])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((10, 20, 30, 40), (0, 0, HEIGHT, WIDTH)),
        ((3, 0, 51, 69), (0, 0, HEIGHT, WIDTH)),
        ((0, 0, HEIGHT, WIDTH), (12, 7, 33, 44)),
        ((0, 0, HEIGHT, WIDTH), (0, 0, HEIGHT, WIDTH)),
    ],
)
def test_zoom_and_flips_are_v2s(
    source: tuple[int, int, int, int], target: tuple[int, int, int, int], mirrored: bool, upside_down: bool
) -> None:
    images, (boxes, labels) = noise(4), objects(4)
    one = Move(source=source, target=target, mirrored=mirrored, upside_down=upside_down)
    moved, found, kept = move(images, boxes, labels, [one] * 4)
    for row in range(4):
        image, whole = theirs(images[row], boxes[row], one)
        # uint8 is rounded in the resize of both, in another order of axes: a level at most.
        assert (moved[row].int() - image.int()).abs().max() <= 1
        clipped = F.clamp_bounding_boxes(boxed(whole)).as_subclass(Tensor)
        areas = [(b[:, 2:] - b[:, :2]).clamp(min=0).prod(1) for b in (clipped, whole)]
        visible = (labels[row] >= 0) & (areas[0] >= VISIBLE * areas[1]) & (areas[0] > 0)
        assert kept[row].tolist() == torch.where(visible, labels[row], -1).tolist()
        torch.testing.assert_close(found[row], clipped * visible[:, None], rtol=1e-5, atol=1e-3)


def test_colour_is_v2s_with_factors_and_an_order_of_each_images_own() -> None:
    images = noise(6)
    changed = jitter_colour(images, seeded(5), strengths=STRENGTHS)
    draws = torch.rand(6, 2, 4, generator=seeded(5), dtype=torch.float64)
    orders = draws[:, 1].argsort(1).tolist()
    assert len({tuple(order) for order in orders}) > 1
    for row, order in enumerate(orders):
        picture = images[row].permute(2, 0, 1).contiguous()
        for place in order:
            picture = OPERATIONS[place](picture, factor(place, STRENGTHS[place], float(draws[row, 0, place])))
        assert torch.equal(changed[row], picture.permute(1, 2, 0))
    assert not torch.equal(changed, images)


@pytest.mark.parametrize("strengths", [STRENGTHS, (0.0, 0.5, 0.0, 0.5), (0.9, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)])
def test_colours_of_a_batch_at_once_are_those_of_each_image(
    strengths: tuple[float, float, float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.randint(0, 256, (9, 33, 40, 3), generator=seeded(1), dtype=torch.uint8)
    alone = jitter_colour(images, seeded(5), strengths=strengths)
    monkeypatch.setattr("scalesearch.data.colour.one_by_one", together)
    at_once = jitter_colour(images, seeded(5), strengths=strengths)
    assert at_once.dtype == torch.uint8 and at_once.shape == images.shape
    difference = (alone.int() - at_once.int()).abs()
    assert int(difference.max()) <= 3 and float((difference > 0).float().mean()) < 0.01
    assert torch.equal(alone, images) is not any(strengths)


def test_the_ranges_of_colour_are_v2_colour_jitters() -> None:
    jitter = v2.ColorJitter(*STRENGTHS)
    ranges = [jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue]
    for place, (low, high) in enumerate(ranges):
        assert (factor(place, STRENGTHS[place], 0.0), factor(place, STRENGTHS[place], 1.0)) == pytest.approx(
            (low, high)
        )


def test_a_colour_of_no_strength_is_left() -> None:
    images = noise(3)
    grey = images.float().mean(3, keepdim=True).to(torch.uint8).expand(-1, -1, -1, 3)
    assert torch.equal(jitter_colour(grey, seeded(), strengths=(0, 0, 0, 0.5)), grey)
    assert torch.equal(jitter_colour(images, seeded(), strengths=(0, 0, 0, 0)), images)


def test_tiles_cover_the_canvas_once_at_the_images_proportions() -> None:
    for seed in range(20):
        draws = torch.rand(10, generator=seeded(seed)).tolist()
        moves = tiles((HEIGHT, WIDTH), draws[:2], draws[2:])
        covered = torch.zeros(HEIGHT, WIDTH)
        for one in moves:
            (top, left, height, width), (down, right, rows, columns) = one.source, one.target
            covered[down : down + rows, right : right + columns] += 1
            assert 0 <= top <= HEIGHT - height and 0 <= left <= WIDTH - width
            assert height == HEIGHT or width == WIDTH
            assert rows / height == pytest.approx(columns / width, rel=0.03)
        assert (covered == 1).all()


def test_a_mosaic_is_four_of_v2s_crops() -> None:
    images, (boxes, labels) = noise(5), objects(5)
    made, found, kept = mosaic(images, boxes, labels, seeded(2), share=1.0)
    draws = torch.rand(5, 12, generator=(generator := seeded(2)), dtype=torch.float64)
    partners = torch.randint(5, (5, 4), generator=generator)
    for row in range(5):
        sources = partners[row].tolist()
        sources[int(4 * float(draws[row, 3]))] = row
        expected: dict[int, list[float]] = {}
        for source, one in zip(
            sources, tiles((HEIGHT, WIDTH), draws[row, 1:3].tolist(), draws[row, 4:].tolist()), strict=True
        ):
            image, whole = theirs(images[source], boxes[source], one)
            down, right, rows, columns = one.target
            tile = slice(down, down + rows), slice(right, right + columns)
            assert (made[row][tile].int() - image[tile].int()).abs().max() <= 1
            low, high = torch.tensor([right, down] * 2), torch.tensor([right + columns, down + rows] * 2)
            clipped = whole.maximum(low).minimum(high)
            areas = [(b[:, 2:] - b[:, :2]).clamp(min=0).prod(1) for b in (clipped, whole)]
            visible = (labels[source] >= 0) & (areas[0] >= VISIBLE * areas[1]) & (areas[0] > 0)
            places = visible.nonzero()[:, 0].tolist()
            expected |= {int(labels[source, k]) + 1000 * len(expected): clipped[k].tolist() for k in places}
        shown = [k for k in range(kept.shape[1]) if kept[row, k] >= 0]
        assert [int(kept[row, k]) for k in shown] == [label % 1000 for label in expected]
        for k, box in zip(shown, expected.values(), strict=True):
            assert found[row, k].tolist() == pytest.approx(box, abs=1e-3)
    assert (found[kept < 0] == 0).all() and (kept >= 0).any(0).all()


def test_mixup_is_v2s_even_mean_with_the_boxes_of_both() -> None:
    images, (boxes, labels) = noise(2), objects(2)
    mixed, found, kept = mixup(images, boxes, labels, seeded(), share=1.0)
    torch.manual_seed(0)
    even = v2.MixUp(alpha=1e9, num_classes=2)  # Beta(1e9, 1e9) is 1/2 to four digits
    mean, _ = even(images.permute(0, 3, 1, 2).float(), torch.tensor([0, 1]))
    assert (mixed.permute(0, 3, 1, 2) - mean).abs().max() <= 0.51
    for row in range(2):
        both = [*labels[row].tolist(), *labels[1 - row].tolist()]
        there = [label for label in both if label >= 0]
        assert kept[row, : len(there)].tolist() == there and (kept[row, len(there) :] == -1).all()
        wanted = torch.cat([boxes[row], boxes[1 - row]])[[label >= 0 for label in both]]
        assert torch.equal(found[row, : len(there)], wanted)


def test_no_share_changes_nothing_and_half_changes_half() -> None:
    images, (boxes, labels) = noise(200), objects(200)
    for mixed in (mosaic, mixup):
        same = mixed(images, boxes, labels, seeded(), share=0.0)
        assert torch.equal(same[0], images)
        assert torch.equal(same[2], packed(boxes, labels)[1])
        half = mixed(images, boxes, labels, seeded(), share=0.5)
        assert 0.4 < (half[0] != images).flatten(1).any(1).float().mean() < 0.6


def test_one_image_is_mixed_with_nobody_and_tiled_with_itself() -> None:
    images, (boxes, labels) = noise(1), objects(1)
    assert torch.equal(mixup(images, boxes, labels, seeded(), share=1.0)[0], images)
    made, _, kept = mosaic(images, boxes, labels, seeded(), share=1.0)
    assert not torch.equal(made, images) and set(kept[kept >= 0].tolist()) <= {0, 1, 2}


@pytest.mark.parametrize("made", [mosaic, mixup])
def test_the_generator_decides_all(made: object) -> None:
    first, again, other = (made(noise(8), *objects(8), seeded(s), share=0.5) for s in (1, 1, 2))  # type: ignore[operator]
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_packed_puts_what_is_there_first() -> None:
    boxes = torch.arange(24.0).view(2, 3, 4)
    found, kept = packed(boxes, torch.tensor([[-1, 5, 3], [-1, -1, -1]]))
    assert kept.tolist() == [[5, 3], [-1, -1]]
    assert torch.equal(found[0], boxes[0, 1:]) and (found[1] == 0).all()
    assert packed(boxes[1:], torch.full((1, 3), -1))[1].tolist() == [[-1]]
