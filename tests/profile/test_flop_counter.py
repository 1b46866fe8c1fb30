"""The counter by hand, and price against the built module: exactly, part by part."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn

from scalesearch.arch.backbone import EfficientNet, Measured, TimmBackbone
from scalesearch.arch.scaling import named
from scalesearch.arch.spec import CHOICES, DetectorSpec
from scalesearch.cost.operators import operators
from scalesearch.cost.price import Breakdown, breakdown, price
from scalesearch.profile.flop_counter import count, count_module, fvcore_count
from scalesearch.profile.price_check import SPANS, TIMM, mismatch, operator_mismatch, random_spec, random_topology
from tests.detectors import TINY


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [  # (parameters, multiply-adds, convolution outputs), counted by hand
        (nn.Conv2d(3, 8, 3, padding=1), (1, 3, 4, 5), (224, 3 * 9 * 8 * 20, 160)),
        (nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8, bias=False), (1, 8, 4, 4), (72, 9 * 8 * 4, 32)),
        (nn.Linear(6, 7), (2, 6), (49, 2 * 6 * 7, 0)),
        (
            nn.Sequential(nn.BatchNorm2d(4), nn.SiLU(), nn.MaxPool2d(2), nn.Upsample(scale_factor=2)),
            (1, 4, 4, 4),
            (8, 0, 0),
        ),
    ],
    ids=["conv", "depthwise", "linear", "uncounted"],
)
def test_toys(layer: nn.Module, shape: tuple[int, ...], expected: tuple[int, int, int]) -> None:
    cost, _ = count_module(layer, torch.zeros(shape))
    assert cost == expected


def test_measuring_leaves_a_module_as_it_was() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    module[0].bias.requires_grad_(False)  # type: ignore[union-attr]
    before = module[1].running_mean.clone()  # type: ignore[union-attr]
    cost, _ = count_module(module, torch.ones(1, 3, 2, 2))
    assert cost.params == 12 + 8
    assert module.training
    assert [p.requires_grad for p in module.parameters()] == [True, False, True, True]
    assert torch.equal(module[1].running_mean, before)  # type: ignore[arg-type]
    assert not module[0]._forward_hooks


@pytest.mark.parametrize("name", ["d0", "d1", "d3"])
def test_the_price_of_the_published_is_the_built_modules_count(name: str) -> None:
    spec = named(name)
    counted = count(spec)
    assert {part: getattr(breakdown(spec), part) for part in Breakdown.__dataclass_fields__} == counted
    assert sum(cost.params for cost in counted.values()) == price(spec).params


@pytest.mark.parametrize("seed", range(6))  # benchmarks/check_price.py has hundreds
def test_the_price_of_anything_is_the_built_modules_count(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    cache = tmp_path_factory.getbasetemp() / "measured"
    assert mismatch(random_spec(seed, cache)) == ""


@pytest.mark.parametrize("seed", range(100, 105))
def test_each_layer_of_the_built_module_is_an_operator_of_the_unrolling(seed: int, tmp_path: Path) -> None:
    assert operator_mismatch(random_spec(seed, tmp_path)) == ""


def test_a_layer_that_is_not_unrolled_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    deeper = operators(dataclasses.replace(TINY, head_depth=2))
    monkeypatch.setattr("scalesearch.profile.price_check.operators", lambda _: deeper)
    assert operator_mismatch(TINY).startswith("layer ")
    assert "unrolled ('conv', (3, 3), 1, 8, 8, 8, " in operator_mismatch(TINY)


def test_a_wrong_price_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = random_spec(0, tmp_path)
    wrong = dataclasses.replace(spec, head_depth=spec.head_depth + 1)
    monkeypatch.setattr("scalesearch.profile.price_check.count", lambda _: count(wrong))
    found = mismatch(spec)
    assert found.startswith("class_head: priced Cost(params=") and "; box_head: " in found


def test_the_random_specs_reach_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalesearch.profile.price_check.resolve_spec", _not_measured)
    specs = [random_spec(seed) for seed in range(200)]
    assert specs[:3] == [random_spec(seed) for seed in range(3)]
    for name, words in CHOICES.items():
        assert Counter(getattr(spec, name) for spec in specs).keys() == set(words)
    assert {(s.topology.min_level, s.topology.max_level) for s in specs} == set(SPANS)
    assert {s.backbone.name for s in specs} >= set(TIMM)
    equal = [s for s in specs if s.width in {s.backbone.channels(level) for level in s.backbone_levels}]
    assert {s.lateral_at_equal_width for s in equal} == {True, False}
    assert any(s.head_width != s.width for s in specs) and any(not s.separable for s in specs)
    assert {1, 100} & {s.classes for s in specs} and any(s.size[0] != s.size[1] for s in specs)
    fusions = {node.fusion for s in specs for node in s.topology.nodes}
    assert len(fusions) == 7
    twice = [n for s in specs for n in s.topology.nodes if len(set(n.inputs)) < len(n.inputs)]
    assert twice and any(len(n.inputs) == 1 for s in specs for n in s.topology.nodes)


def _not_measured(spec: DetectorSpec, cache: Path | None) -> DetectorSpec:
    if isinstance(spec.backbone, EfficientNet):
        return spec
    channels = {"resnet18": (64, 128, 256, 512), "mobilenetv3_small_050": (16, 16, 24, 288)}
    widths = channels.get(spec.backbone.name, (24, 56, 152, 368))
    known = Measured(dict(zip((2, 3, 4, 5), widths, strict=True)), params=0, macs={}, activations={}, timm="")
    return dataclasses.replace(spec, backbone=TimmBackbone(name=spec.backbone.name, measured=known))


def test_random_topologies_are_valid_and_varied() -> None:
    draw = random.Random(0)
    assert len({random_topology(draw, 3, 7) for _ in range(100)}) > 60


def _fvcore_specs(tmp_path: Path) -> list[DetectorSpec]:
    return [
        dataclasses.replace(named("d0"), size=(96, 130)),
        dataclasses.replace(named("d1"), size=(64, 96)),
        # Every input of its cell is read: where one is not, the node that made it in the cell before runs for nothing,
        # and tracing drops what reaches no result.
        random_spec(5, tmp_path),
    ]


@pytest.mark.parametrize("which", [0, 1, 2], ids=["d0", "d1", "random"])
def test_fvcore_counts_the_same_multiply_adds(which: int, tmp_path: Path) -> None:
    spec = _fvcore_specs(tmp_path)[which]
    assert fvcore_count(spec) == price(spec).macs
