"""A batch norm needs more than one value: refused before anything is read, and blamed where a loss is no number."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from scalesearch.arch.networks import bifpn
from scalesearch.arch.scaling import named
from scalesearch.nn.detector import build
from scalesearch.plan.recipe import Recipe
from scalesearch.training.norms import advice, check_norms, norm_values
from tests.detectors import TINY

SMALL = dataclasses.replace(TINY, size=(32, 32))


@pytest.mark.parametrize("size", [(32, 32), (32, 64), (64, 64), (48, 64)])
@pytest.mark.parametrize("batch", [1, 2])
def test_what_is_refused_is_what_torch_refuses(size: tuple[int, int], batch: int) -> None:
    spec = dataclasses.replace(TINY, size=size, topology=bifpn(3, 6))
    model = build(spec).train()
    if norm_values(spec, batch)[1] == 1:
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            model(torch.zeros(batch, 3, *size))
        with pytest.raises(
            ValueError, match="the map of level [56] is 1x1 at .* a batch is of one image: set batch to 2"
        ):
            check_norms(spec, Recipe(batch=batch))
    else:
        model(torch.zeros(batch, 3, *size))
        check_norms(spec, Recipe(batch=batch))


def test_the_images_that_there_are_count_too() -> None:
    check_norms(SMALL, Recipe(batch=8), 8)
    with pytest.raises(ValueError, match="at 32x32 and a batch is of one image: add images, or a larger size"):
        check_norms(SMALL, Recipe(batch=8), 1)
    check_norms(SMALL, Recipe(batch=8, freeze_norms=True), 1)


def test_the_batch_is_blamed_where_it_is_the_reason() -> None:
    spec = named("d0", size=(128, 128))
    assert advice(spec, Recipe(batch=2), 2).startswith(
        "raise batch, since batch norms of level 7 have 2 values a channel"
    )
    assert advice(spec, Recipe(batch=16), 16) == "lower learning_rate or clip"
    assert advice(spec, Recipe(batch=2, freeze_norms=True), 2) == "lower learning_rate or clip"
