"""The search space of a starter plan, and the band that is chosen from the costs of its own candidates."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scalesearch.app.search_study import unit_of
from scalesearch.app.starter_input import StarterInput, starter_input
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.budget import Bound, Budget
from scalesearch.data.sets import Data
from scalesearch.data.summary import DataSummary, summarised
from scalesearch.plan.plan import read_plan
from scalesearch.space.candidates import SpecUnit
from scalesearch.space.feasible import enumerated

BACKBONE = "efficientnet-lite-w1-d1"
AXES = """\
  topology: [fpn, panet, bifpn]
  width: {low: 32, high: 96, step: 8}
  repeats: [1, 2, 3]
  head_depth: [1, 2, 3]
"""
"""The axes of `space:` that vary, as YAML."""
_TAILS = 0.1
"""Share of the candidates outside the band at either end."""


@dataclass(frozen=True, kw_only=True)
class StarterSpace:
    """What the data alone decide: the same for the same data on every machine of a kind (with a GPU or without)."""

    summary: DataSummary
    input: StarterInput
    band: Budget
    middle: DetectorSpec
    """The candidate of median cost."""
    macs: float
    """Its multiply-adds."""


def starter_space(data: Data, *, gpu: bool) -> StarterSpace:
    """Return the space for the data, with the input that their boxes ask for; with a GPU that may be larger."""
    summary = summarised(data)
    chosen = starter_input(summary, data.train, gpu=gpu)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "space.yaml"
        file.write_text(
            f"space:\n  backbone: {BACKBONE}\n{AXES}  size: {chosen.longer}\n  aspect: {chosen.aspect:g}\n"
            f"  min_level: {chosen.min_level}\n  max_level: {chosen.max_level}\nband: {{macs: {{min: 1}}}}\n"
        )
        unit = unit_of(read_plan(file), len(data.train.categories), chosen.anchors)
    assert isinstance(unit, SpecUnit), "without a family the unit is a spec"
    points = list(enumerated(unit.space, unit.budget, unit.meter))
    costs = np.array([point.metrics["macs"] for point in points])
    low, median, high = np.quantile(costs, (_TAILS, 0.5, 1 - _TAILS))
    middle = points[int(np.abs(costs - median).argmin())]
    bound = Bound(_two_digits(float(low), math.floor), _two_digits(float(high), math.ceil))
    return StarterSpace(
        summary=summary,
        input=chosen,
        band=Budget(macs=bound),
        middle=middle.spec,
        macs=float(middle.metrics["macs"]),
    )


def _two_digits(value: float, rounded: Callable[[float], int]) -> float:
    unit = 10 ** (math.floor(math.log10(value)) - 1)
    return float(rounded(value / unit) * unit)
