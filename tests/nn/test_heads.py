"""The heads: the order of their outputs, what levels share and what they do not, and the initial weights."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scalesearch.arch.scaling import named
from scalesearch.arch.spec import DetectorSpec
from scalesearch.nn.heads import box_head, class_head


def _spec(**changes: Any) -> DetectorSpec:
    return dataclasses.replace(named("d0", classes=4, size=(64, 96)), width=8, head_width=12, **changes)


def _maps(spec: DetectorSpec) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(2, spec.width, *spec.map_size(level)) for level in spec.levels]


@pytest.mark.parametrize("separable", [True, False])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_levels_then_rows_columns_and_anchors(separable: bool, layout: torch.memory_format) -> None:
    """Row n of the output is the prediction of one anchor, found by walking the maps in order."""
    spec = _spec(separable=separable)
    head = class_head(spec).eval()
    seen: list[Tensor] = []
    tower = head._tower
    head._tower = lambda i, x: seen.append(tower(i, x)) or seen[-1]  # type: ignore
    with torch.no_grad():
        out = head([x.to(memory_format=layout) for x in _maps(spec)])
        n = 0
        for x in seen:
            predicted = head.predict(x)
            for y in range(x.shape[2]):
                for column in range(x.shape[3]):
                    cell = predicted[:, :, y, column].view(2, 9, 4)
                    torch.testing.assert_close(out[:, n : n + 9], cell, rtol=1e-4, atol=1e-6)
                    n += 9
    assert n == out.shape[1]


def test_convolutions_are_shared_and_norms_are_not() -> None:
    spec = _spec()
    head = box_head(spec)
    assert len([m for m in head.modules() if isinstance(m, nn.BatchNorm2d)]) == 3 * 5
    assert len([m for m in head.modules() if isinstance(m, nn.Conv2d)]) == 2 * 3 + 2
    # A level's statistics come from that level alone.
    maps = _maps(spec)
    other = box_head(spec)
    other.load_state_dict(head.state_dict())
    head.train()(maps)
    other.train()([x + 10 * (i == 2) for i, x in enumerate(maps)])
    first, second = (module.norms[0] for module in (head, other))
    same = [torch.equal(first[i].running_mean, second[i].running_mean) for i in range(5)]  # type: ignore
    assert same == [True, True, False, True, True]


def test_the_start_is_the_prior_everywhere() -> None:
    spec = _spec()
    with torch.no_grad():
        scores = class_head(spec)(_maps(spec)).sigmoid()
        deltas = box_head(spec)(_maps(spec))
    assert scores.mean().item() == pytest.approx(0.01, rel=0.05)
    assert scores.min() > 0.005 and scores.max() < 0.02
    assert deltas.abs().max() < 1
    bias = class_head(spec).predict.last.bias
    assert bias is not None
    torch.testing.assert_close(bias, torch.full_like(bias, -math.log(99)))


@pytest.mark.parametrize("depth", [0, 1, 4])
def test_any_depth(depth: int) -> None:
    spec = dataclasses.replace(_spec(), head_depth=depth)
    out = box_head(spec)(_maps(spec))
    assert out.shape == (2, 9 * sum(x.shape[2] * x.shape[3] for x in _maps(spec)), 4)
