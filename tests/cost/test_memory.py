"""Memory by hand on a small detector, over arrays, and where it is not known."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from scalesearch.arch.backbone import BackboneMemory, Measured, TimmBackbone
from scalesearch.arch.networks import fpn
from scalesearch.arch.scaling import named
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.memory import (
    TrainingSettings,
    inference_memory,
    memory_grid,
    peak_activations,
    peak_grid,
    training_memory,
    training_memory_grid,
)
from scalesearch.cost.price import price

SIZE = (64, 96)


def small(**changes: object) -> DetectorSpec:
    """Two levels of 4x6 and 2x3 over a backbone that holds 7,000 numbers at most and keeps 10,000."""
    memory = {SIZE: BackboneMemory(peak=7000, kept=10_000, norms=50)}
    measured = Measured({4: 16, 5: 24}, 1000, {SIZE: 5000}, {SIZE: 70}, "", memory=memory)
    spec = DetectorSpec(
        size=SIZE,
        classes=2,
        backbone=TimmBackbone(name="toy", measured=measured),
        topology=fpn(4, 5, "sum"),
        repeats=1,
        width=8,
        head_width=8,
        head_depth=0,
        separable=False,
    )
    return dataclasses.replace(spec, **changes)  # type: ignore[arg-type]


def test_a_small_detectors_training_by_hand() -> None:
    # fpn: node 2 at level 5 reads [1], node 3 at level 4 reads [0, 2]; 24 and 6 positions, 8 channels.
    coarse, fine = 6 * 8, 24 * 8
    # Level 5: the lateral's convolution (norm), the sum (silu), what silu gives (conv), the convolution's (norm).
    kept = coarse + 3 * coarse
    # Level 4: the same; the lateral's and the upsampled map are only added, which keeps nothing.
    kept += fine + 3 * fine
    # Both heads read the two outputs; the focal loss keeps its gradient: 9 anchors x 2 classes.
    kept += coarse + fine + 9 * 2 * 30
    spec, norms = small(), 50 + 4 * 8
    params = price(spec).params
    expected = 4 * (5 * params + 6 * norms + 3 * (10_000 + kept))
    assert training_memory(spec, TrainingSettings(batch=3)) == expected
    assert expected - training_memory(spec, TrainingSettings(batch=3, optimizer="sgd")) == 4 * params
    assert expected - training_memory(spec, TrainingSettings(batch=3, average=False)) == 4 * (params + 2 * norms)
    # A frozen backbone: of its 1,000 parameters no gradient and no states, of its maps those that the network reads, of 16
    # and 24 channels, and of its 50 norms nothing of the batch.
    saved = 3 * 1000 + 2 * 50 + 3 * (10_000 - 24 * 16 - 6 * 24)
    assert expected - training_memory(spec, TrainingSettings(batch=3, frozen=True)) == 4 * saved
    relu = small(activation="relu")  # in place: the sum and what relu makes of it are one map
    assert expected - training_memory(relu, TrainingSettings(batch=3)) == 4 * 3 * (coarse + fine)


def test_half_precision_and_checkpointing_by_hand() -> None:
    coarse, fine, spec, norms = 6 * 8, 24 * 8, small(), 50 + 4 * 8
    params, image = price(spec).params, 3 * 64 * 96
    kept = 10_000 + 5 * (coarse + fine)
    # Two bytes for each map, and for a copy of each kernel; the gradient of the focal loss keeps its four.
    gradient = 9 * 2 * 30
    half = 4 * (5 * params + 6 * norms) + 2 * (params - 2 * norms) + 3 * (2 * kept + 4 * gradient)
    assert training_memory(spec, TrainingSettings(batch=3, half=True)) == half
    # The image is held for the backbone, which is run again as a whole, and its maps for the network. The most is kept at
    # the cell: more than at the end of the forward pass, by the two outputs and the gradient, and than by the backbone.
    maps, cell = 24 * 16 + 6 * 24, 4 * (coarse + fine)
    assert cell > coarse + fine + gradient and image + maps + cell > 10_000
    expected = 4 * (5 * params + 6 * norms + 3 * (image + maps + cell))
    assert training_memory(spec, TrainingSettings(batch=3, checkpointing=True)) == expected
    # A frozen one keeps its maps alone.
    frozen = TrainingSettings(batch=3, checkpointing=True, frozen=True)
    assert expected - training_memory(spec, frozen) == 4 * (3 * 1000 + 2 * 50 + 3 * image)


def test_a_small_detectors_peak_by_hand() -> None:
    assert peak_activations(small()) == 4 * 7000
    # With 100 classes the class head's maps, joined: 900 channels at 30 positions, of which 24 positions apart and joined
    # at once, and the two outputs of the network for the box head.
    classes = small(classes=100)
    assert peak_activations(classes) == 4 * (2 * 900 * 30 + 8 * 30)
    assert inference_memory(classes) == 4 * (price(classes).params + 2 * (50 + 4 * 8)) + peak_activations(classes)


def test_more_of_anything_is_more_memory() -> None:
    base = named("d0", size=(256, 256))
    for change in ({"repeats": 4}, {"head_depth": 4}, {"width": 72}, {"size": (256, 288)}):
        larger = dataclasses.replace(base, **change)  # type: ignore[arg-type]
        assert training_memory(larger, TrainingSettings()) > training_memory(base, TrainingSettings())
    assert training_memory(base, TrainingSettings(batch=9)) - training_memory(base, TrainingSettings(batch=8)) == (
        training_memory(base, TrainingSettings(batch=2)) - training_memory(base, TrainingSettings(batch=1))
    )


def test_arrays_give_the_same_integers() -> None:
    base, rng = named("d0"), np.random.default_rng(0)
    width = rng.choice([16, 40, 112, 320, 88], 60)
    columns = {"repeats": rng.integers(1, 6, 60), "head_depth": rng.integers(0, 5, 60)}
    size = (16 * rng.integers(4, 30, 60), 16 * rng.integers(4, 30, 60))
    settings = [
        TrainingSettings(batch=5, frozen=frozen, half=half, checkpointing=again)
        for frozen, half, again in itertools.product((False, True), repeat=3)
    ]
    grids = [
        peak_grid(base, size=size, width=width, **columns),
        memory_grid(base, size=size, width=width, **columns),
        *(training_memory_grid(base, training, size=size, width=width, **columns) for training in settings),
    ]
    for i in range(60):
        fields = {name: int(values[i]) for name, values in columns.items()} | {"head_width": int(width[i])}
        one = dataclasses.replace(base, size=(int(size[0][i]), int(size[1][i])), width=int(width[i]), **fields)
        alone = [peak_activations(one), inference_memory(one)]
        alone += [training_memory(one, training) for training in settings]
        assert [int(grid[i]) for grid in grids] == alone
    assert np.shape(peak_grid(base, width=np.array([64, 88]), repeats=np.array([[1], [2], [3]]))) == (3, 2)


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(
        ValueError, match="memory of the backbone 'toy' was not measured at 64x128.*or leave memory out"
    ):
        peak_activations(small(size=(64, 128)))
    with pytest.raises(ValueError, match="adamw or sgd at a batch of at least 1, but got 'adam', 8"):
        TrainingSettings(optimizer="adam")
