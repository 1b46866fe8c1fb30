"""Shares, enumerations and draws against the same space priced point by point."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from scalesearch.arch.genes import Genes
from scalesearch.arch.spec import Anchors
from scalesearch.cost.budget import Budget, from_dict
from scalesearch.cost.metrics import Meter, meter_of
from scalesearch.space import blocks
from scalesearch.space import feasible as inside
from scalesearch.space.feasible import draws, enumerated, nearest_miss, share
from scalesearch.space.space import Choices, Space, steps

SPACE = Space(
    axes={
        "backbone": Choices(("efficientnet-w0.25-d0.3", "efficientnet-w0.5-d0.3")),
        "topology": Choices(("fpn", "bifpn")),
        "size": Choices((96, 64, 128)),
        "aspect": Choices((1.0, 0.5)),
        "width_base": Choices((16, 24, 40)),
        "width_factor": Choices((1.2, 1.5)),
        "phi": Choices((0, 1, 2)),
        "repeats": Choices((1, 2)),
        "head_depth": Choices((0, 1, 2)),
    },
    classes=3,
)
BUDGET = from_dict({"macs": {"min": "5M", "max": "12M"}, "memory": {"max": "1.2MB"}})


def test_enumeration_is_that_of_points_one_by_one() -> None:
    meter = meter_of(BUDGET.bounds)
    expected = [(point, found) for point in SPACE.points() if BUDGET.holds(found := meter(SPACE.spec(point)))]
    assert 20 < len(expected) < SPACE.count / 2
    assert [(one.point, one.metrics) for one in enumerated(SPACE, BUDGET)] == expected
    found = share(SPACE, BUDGET)
    assert (found.points, found.priced, found.held) == (SPACE.count, SPACE.count, len(expected))
    assert found.exact and found.interval == (found.value, found.value)


def test_a_backbone_that_follows_phi_is_priced_as_it_is() -> None:
    axes = SPACE.axes | {"backbone": Choices(("efficientnet-w0.25-d0.3", "efficientnet-w0.{phi}5-d0.3"))}
    scaled = Space(axes=axes | {"phi": Choices((1, 2, 3)), "size": Choices((64, 96))}, classes=3)
    meter = meter_of(BUDGET.bounds)
    expected = [(point, found) for point in scaled.points() if BUDGET.holds(found := meter(scaled.spec(point)))]
    assert [(one.point, one.metrics) for one in enumerated(scaled, BUDGET)] == expected
    assert len({point["phi"] for point, _ in expected if "phi" in str(point["backbone"])}) > 1


def test_an_estimate_has_the_true_share_in_its_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    true = share(SPACE, BUDGET).value
    monkeypatch.setattr(blocks, "ENUMERABLE", 10)
    monkeypatch.setattr(inside, "SAMPLE", 1000)
    monkeypatch.setattr(blocks, "BLOCK", 500)
    found = [share(SPACE, BUDGET, rng=np.random.default_rng(seed)) for seed in range(10)]
    assert all(not one.exact and one.priced == 1000 for one in found)
    assert sum(one.interval[0] <= true <= one.interval[1] for one in found) >= 8
    assert "from 1,000 of them" in str(found[0])


def test_draws_are_uniform_over_the_points_inside() -> None:
    ends = {"macs": {"min": "8M", "max": "9.3M"}, "params": {"min": "150k", "max": "400k"}}
    tight = from_dict(ends | {"activations": {"min": "400k"}, "memory": {"min": "1.5MB", "max": "1.62MB"}})
    points = [str(one.point) for one in enumerated(SPACE, tight)]
    drawn = Counter(str(one.point) for one in draws(SPACE, tight, np.random.default_rng(0), 100 * len(points)))
    assert set(drawn) == set(points) and len(points) > 5
    chi = sum((drawn[point] - 100) ** 2 / 100 for point in points)
    assert chi < len(points) - 1 + 4 * (2 * (len(points) - 1)) ** 0.5


def test_a_space_far_too_large_to_enumerate_is_drawn_from() -> None:
    space = Space(
        axes={
            "backbone": Choices(("efficientnet-w0.25-d0.3",)),
            "size": steps(64, 256, 8),
            "width": steps(8, 128, 8),
            "repeats": Choices((1, 2, 3)),
            "head_depth": Choices((0, 1)),
        },
        classes=3,
        genes=Genes(levels=(3, 7), nodes=8, inputs=3, fusions=("fast", "sum")),
    )
    budget = from_dict({"macs": {"max": "15M"}})
    assert space.count > 10**15
    for one in draws(space, budget, np.random.default_rng(0), 3):
        assert one.metrics == meter_of(budget.bounds)(space.spec(one.point)) and budget.holds(one.metrics)


def test_nothing_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside, "_EMPTY", 2)
    none = from_dict({"macs": {"max": "1k"}})
    assert share(SPACE, none).held == 0
    miss, meter = nearest_miss(SPACE, none), meter_of(none.bounds)
    assert miss.metrics["macs"] == min(meter(SPACE.spec(point))["macs"] for point in SPACE.points())
    with pytest.raises(
        ValueError, match=r"no point inside macs <= 1 k was drawn among 32,768 of 2,592; widen the band"
    ):
        draws(SPACE, none, np.random.default_rng(0))


def test_a_latency_is_predicted_only_of_what_else_holds() -> None:
    asked: list[str] = []

    def predict(spec: object) -> float:
        asked.append(str(spec))
        return 1e-3 * len(asked)

    budget = Budget(macs=BUDGET.macs, latency=from_dict({"latency": {"max": "10ms"}}).latency)
    assert share(SPACE, budget, Meter(asked=("latency",), predict=predict)).held == 10
    assert len(asked) == share(SPACE, Budget(macs=BUDGET.macs)).held
    with pytest.raises(ValueError, match="none was given; make one with `scalesearch calibrate`"):
        share(SPACE, budget)


def test_fitted_anchors_count_by_frame() -> None:
    frames = SPACE.frames()
    fitted = {frame: Anchors(octaves=3 + i % 2) for i, frame in enumerate(frames)}
    space = Space(axes=SPACE.axes, classes=3, anchors=fitted)
    meter, budget = Meter(), from_dict({"macs": {"min": "5M", "max": "12M"}})
    expected = [point for point in space.points() if budget.holds(meter(space.spec(point)))]
    assert [one.point for one in enumerated(space, budget)] == expected
