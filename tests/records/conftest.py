"""A row like those that a study writes, to be changed by keyword."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from scalesearch.arch.backbone import EfficientNet
from scalesearch.arch.networks import bifpn
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.price import price
from scalesearch.plan.recipe import Recipe
from scalesearch.records.row import Row

MakeRow = Callable[..., Row]


@pytest.fixture(scope="session")
def make_row() -> MakeRow:
    """make_row(width=16, ap=0.1, **fields): the row of a small detector, priced, one epoch of three trained."""
    return row


def row(*, width: int = 16, ap: float | None = 0.1, **fields: Any) -> Row:
    """See `make_row`."""
    spec = DetectorSpec(
        size=(64, 96),
        classes=3,
        backbone=EfficientNet(width=0.5, depth=0.5),
        topology=bifpn(),
        repeats=1,
        width=width,
        head_width=width,
        head_depth=1,
        padding="symmetric",
    )
    recipe = Recipe(epochs=3, learning_rate=2e-3)
    numbers = {"ap": ap, "ap50": 1 / 3, "ap_large": None}
    values: dict[str, Any] = {
        "kind": "search",
        "point": {"width": width, "topology": "bifpn", "phi": 0.1},
        "spec": spec,
        "spec_id": spec.id,
        "cost": price(spec)._asdict(),
        "recipe": recipe.to_dict(),
        "recipe_id": recipe.id,
        "data": "0123456789ab",
        "splits": {"train": "train minus 20 % (seed 0)", "evaluated": "20 % of train (seed 0)"},
        "seed": 0,
        "epochs_done": 3,
        "epochs_planned": 3,
        "curve": ((1, {"ap": 0.1 + 0.2, "ap_large": None}), (3, numbers)),
        "final": numbers,
        "per_class": {"röd": 1e-17, "blå": None},
        "state": "complete",
        "seconds": 12.345678901234567,
        "peak_memory": 2**31,
        "images_per_second": 99.9,
        "threads": 1,
        "machine": {"cpu": "a", "cores": 2},
        "versions": {"torch": "2.11"},
    }
    return Row(**{**values, **fields})
