"""All tiles of a batch at once are torch's resize of each, to the bit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scalesearch.data.augment import jitter
from scalesearch.data.decoded_file import PAD
from scalesearch.data.mix import mosaic, tiles
from scalesearch.data.resample import Canvas, Move, _weights, by_axis, one_by_one, together


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (count, height, width, 3), generator=seeded(seed), dtype=torch.uint8)


def random_canvas(size: tuple[int, int], count: int, generator: torch.Generator) -> Canvas:
    """One tile: any part of any of `count` images onto any part of the canvas, one side of either a pixel at times."""

    def span(side: int) -> tuple[int, int]:
        length = (
            1
            if torch.rand((), generator=generator) < 0.15
            else int(torch.randint(1, side + 1, (), generator=generator))
        )
        return int(torch.randint(0, side - length + 1, (), generator=generator)), length

    (top, height), (left, width), (down, rows), (right, columns) = (span(side) for side in (*size, *size))
    one = Move(
        source=(top, left, height, width),
        target=(down, right, rows, columns),
        mirrored=bool(torch.rand((), generator=generator) < 0.5),
        upside_down=bool(torch.rand((), generator=generator) < 0.5),
    )
    return [(int(torch.randint(0, count, (), generator=generator)), one)]


@pytest.mark.parametrize("size", [(33, 40), (61, 24), (1, 17), (48, 48)])
def test_any_parts_at_once_are_those_one_by_one(size: tuple[int, int]) -> None:
    images, generator = noise(5, *size), seeded(size[1])
    canvases = [random_canvas(size, 5, generator) for _ in range(60)]
    alone, at_once = one_by_one(images, canvases), together(images, canvases)
    assert at_once.dtype == torch.uint8 and at_once.shape == (60, *size, 3)
    difference = (alone.int() - at_once.int()).abs()
    assert int(difference.max()) <= 1 and float((difference > 0).float().mean()) < 1e-4


@pytest.mark.parametrize("scale", [(0.25, 1.0), (1.0, 4.0), (0.8, 1.25)])
def test_jitter_at_once_is_the_same_to_the_bit(scale: tuple[float, float], monkeypatch: pytest.MonkeyPatch) -> None:
    batch = (
        noise(9, 57, 40),
        torch.rand(9, 3, 4, generator=seeded(1)).cumsum(2) * 20,
        torch.ones(9, 3, dtype=torch.int64),
    )
    alone = jitter(*batch, seeded(3), scale=scale, flip=True, flip_vertical=True)
    monkeypatch.setattr("scalesearch.data.resample.one_by_one", together)
    at_once = jitter(*batch, seeded(3), scale=scale, flip=True, flip_vertical=True)
    assert all(torch.equal(one, other) for one, other in zip(alone, at_once, strict=True))
    assert not torch.equal(alone[0], batch[0])


def test_mosaics_at_once_are_the_same_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = (
        noise(7, 45, 64),
        torch.rand(7, 3, 4, generator=seeded(1)).cumsum(2) * 20,
        torch.ones(7, 3, dtype=torch.int64),
    )
    alone = mosaic(*batch, seeded(3), share=0.6)
    monkeypatch.setattr("scalesearch.data.resample.one_by_one", together)
    monkeypatch.setattr("scalesearch.data.resample.PIXELS", 3 * 4 * 45 * 64)  # three canvases at once
    at_once = mosaic(*batch, seeded(3), share=0.6)
    assert all(torch.equal(one, other) for one, other in zip(alone, at_once, strict=True))
    assert 0 < int((alone[0] == batch[0]).flatten(1).all(1).sum()) < 7


def test_a_canvas_shows_padding_where_there_is_no_tile() -> None:
    corner = Move(source=(2, 3, 4, 5), target=(1, 2, 4, 5), mirrored=True)
    images = noise(2, 12, 10)
    for made in (one_by_one(images, [[(1, corner)]]), together(images, [[(1, corner)]])):
        shown = torch.zeros(12, 10, dtype=torch.bool)
        shown[1:5, 3:8] = True  # mirrored: 10 - 2 - 5
        assert torch.equal(made[0, 1:5, 3:8], images[1, 2:6, 3:8].flip(1))
        assert (made[0][~shown] == torch.tensor(PAD, dtype=torch.uint8)).all()


def test_weights_are_exact_in_the_eight_bits_of_low_precision_and_add_up_to_one() -> None:
    """So that TF32, which a GPU may multiply in, changes nothing: it keeps three bits more."""
    moves = [
        one for seed in range(4) for one in tiles((40, 56), (0.3, 0.8), torch.rand(8, generator=seeded(seed)).tolist())
    ]
    moves += [random_canvas((40, 56), 1, seeded(seed))[0][1] for seed in range(20)]
    weights, inside = _weights(by_axis(moves).flatten(0, 1), 56, 56)
    assert torch.equal(weights.bfloat16().float(), weights)
    sums = weights.sum((1, 3))
    assert (sums[~inside] == 0).all() and (sums[inside] - 1).abs().max() < 2**-12


def test_axes_by_hand() -> None:
    one = Move(source=(1, 2, 3, 4), target=(5, 6, 7, 8), mirrored=True)
    assert by_axis([one]).tolist() == [[[2, 4, 6, 8, 1], [1, 3, 5, 7, 0]]]
    one = Move(source=(1, 2, 3, 4), target=(5, 6, 7, 8), mirrored=False, upside_down=True)
    assert by_axis([one]).tolist() == [[[2, 4, 6, 8, 0], [1, 3, 5, 7, 1]]]
