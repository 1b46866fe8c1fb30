"""A table of operator timings for this device and backend, fitted to a few dozen timed random detectors.

Each detector is timed whole and in parts. It gives one equation for its total, one for each convolution where the
backend can time them as they run (eager on a CPU, ONNX Runtime), and one for each group of other operators. Prices are
the non-negative least squares of the relative errors of all equations. The stated error is of held-out detectors: folds
over detectors, never over operators. May import arch, cost, profile and scipy.
"""

from __future__ import annotations

import dataclasses
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from scalesearch.arch.backbone import Backbone, EfficientNet, TimmBackbone
from scalesearch.arch.networks import ONE_SPAN, TOPOLOGIES
from scalesearch.arch.operator import Operator
from scalesearch.arch.scaling import named
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.latency import CONVOLUTIONS, OTHER, HeldOut, LatencySetting, LatencyTable, amounts
from scalesearch.cost.price import price
from scalesearch.io.progress import bar
from scalesearch.profile.operator_timing import Amounts, Observed, observe
from scalesearch.profile.resolve import resolve_spec

PriceKey = tuple[str, str]
"""(kind of operator, unit of amount)."""

TIMM = ("resnet18", "mobilenetv3_small_050", "regnetx_002", "mobilenetv2_050", "regnety_002")
MACS = (20e6, 2.5e9)
FOLDS = 6
WHOLE, REST, PART, LIKENESS = 4.0, 0.5, 0.5, 1.0
"""Weights of a detector's three sorts of equations (its convolutions share PART), and of `_likenesses`."""

REDUCING = ("mean", "amax", "max_pool", "avg_pool")
"""Kinds of operators that read more than they write."""


def candidate(seed: int, cache: Path | None = None) -> DetectorSpec:
    """Draw a detector from `seed` alone, of 20 M to 2.5 G multiply-adds: the range of a search."""
    draw = random.Random(f"calibrate {seed}")
    while True:
        spec = _drawn(draw, cache)
        if MACS[0] <= price(spec).macs <= MACS[1]:
            return spec


def _drawn(draw: random.Random, cache: Path | None) -> DetectorSpec:
    span = draw.choice(((3, 7), (3, 7), (3, 7), (3, 6), (3, 5), (2, 6), (4, 7)))
    network = draw.choice([name for name in TOPOLOGIES if ONE_SPAN.get(name, span) == span])
    fusion = draw.choice(("fast", "softmax", "sum", "channel_fast"))
    width, long = 8 * draw.randint(2, 20), 32 * draw.randint(4, 20)
    short = long if draw.random() < 0.6 else max(96, long * draw.choice((2, 3)) // 4 // 32 * 32)
    backbone: Backbone = EfficientNet(
        width=round(draw.uniform(0.3, 1.4), 2), depth=round(draw.uniform(0.3, 1.6), 2), lite=draw.random() < 0.3
    )
    if draw.random() < 0.25:
        backbone = TimmBackbone(name=draw.choice(TIMM))
    spec = dataclasses.replace(
        named("d0"),
        backbone=backbone,
        topology=TOPOLOGIES[network](*span).fused(fusion),
        size=(short, long),
        classes=draw.choice((1, 3, 10, 20, 80, 90)),
        width=width,
        head_width=width if draw.random() < 0.7 else 8 * draw.randint(2, 20),
        repeats=draw.randint(1, 4),
        head_depth=draw.randint(0, 4),
        separable=draw.random() < 0.85,
        activation=draw.choice(("silu", "silu", "relu", "relu6", "hard_swish")),
        padding=draw.choice(("same", "symmetric")),
        down=draw.choice(("max", "max", "max_tight", "avg", "bilinear")),
        up=draw.choice(("nearest", "nearest", "bilinear")),
        order=draw.choice(("act_conv_norm", "conv_norm_act")),
    )
    return resolve_spec(spec, cache)


# ---- fitting ----


def _group_of(kind: str) -> str:
    """Return the group of `operator_timing.GROUPS` for a table's kind."""
    if kind.startswith(("activation ", "after ")):
        return "activation"
    return {"nearest": "resize", "bilinear": "resize", "max_pool": "pool", "avg_pool": "pool"}.get(
        kind, "product" if kind == "product" else "convolution" if kind in CONVOLUTIONS else "rest"
    )


@dataclasses.dataclass(frozen=True)
class _Equation:
    detector: int
    terms: Mapping[PriceKey, float]
    value: float
    weight: float


def _equations(number: int, one: Observed, batch: int) -> list[_Equation]:
    whole = _flat(one.amounts)
    found = [_Equation(number, whole, one.whole, WHOLE / one.whole)]
    if not one.parts:
        return found
    convolutions = [(row, value) for row, value in one.parts if isinstance(row, Operator)]
    rest = Counter(whole)
    for row, value in convolutions:
        terms = _flat(amounts((row,), batch))
        rest.subtract(terms)
        # Between relative and absolute error (exponent 0.75), so that a long convolution counts more than a short one.
        share = value**0.75 * one.whole**0.25
        found.append(_Equation(number, terms, value, 5 * PART / share / len(convolutions) ** 0.5))
    for group, value in one.parts:
        if isinstance(group, str):
            terms = {key: amount for key, amount in rest.items() if _group_of(key[0]) == group}
            found.append(_Equation(number, terms, value, REST / (value + 0.03 * one.whole)))
    return found


def _flat(found: Amounts) -> dict[PriceKey, float]:
    """Return the fitted terms: all units where there are multiply-adds, else calls and the larger side's elements."""
    return {
        (kind, unit): value
        for kind, some in found.items()
        for unit, value in some.items()
        if some["macs"] or unit == "calls" or unit == ("read" if kind in REDUCING else "written")
    }


def fit_prices(observed: Sequence[Observed], batch: int) -> dict[str, dict[str, float]]:
    """Fit the prices that explain the observed latencies best, in units of the reference operation."""
    equations = [one for number, seen in enumerate(observed) for one in _equations(number, seen, batch)]
    equations += _likenesses(observed)
    keys = sorted({key for one in equations for key in one.terms})
    place = {key: i for i, key in enumerate(keys)}
    matrix: NDArray[np.float64] = np.zeros((len(equations), len(keys)))
    for row, one in enumerate(equations):
        for key, value in one.terms.items():
            matrix[row, place[key]] = value * one.weight
    scale = np.sqrt((matrix**2).mean(0)) + 1e-30
    found, _ = nnls(matrix / scale, np.array([one.value * one.weight for one in equations]), maxiter=100 * len(keys))
    prices: dict[str, dict[str, float]] = defaultdict(dict)
    for (kind, unit), value in zip(keys, found / scale, strict=True):
        prices[kind][unit] = float(value)
    return dict(prices)


def _likenesses(observed: Sequence[Observed]) -> list[_Equation]:
    """Return equations that hold the prices of kinds without multiply-adds to a common price, for rare kinds.

    Each counts as `LIKENESS` detectors in which the kind has its average amount.
    """
    uses: dict[PriceKey, list[float]] = defaultdict(list)
    for one in observed:
        for key, value in _flat(one.amounts).items():
            if value and not one.amounts[key[0]]["macs"]:
                uses[key].append(value * WHOLE / one.whole)
    found = []
    for key, values in uses.items():
        weight = float(np.sqrt(LIKENESS * np.mean(np.square(values))))
        common = (OTHER, "calls" if key[1] == "calls" else "written")
        found.append(_Equation(-1, {key: 1.0, common: -1.0}, 0.0, weight))
    return found


def held_out(observed: Sequence[Observed], batch: int, folds: int = FOLDS) -> HeldOut:
    """Return the error over folds of detectors, each predicted by prices fitted without it."""
    errors = []
    for fold in range(min(folds, len(observed))):
        prices = fit_prices([one for i, one in enumerate(observed) if i % folds != fold], batch)
        errors += [abs(estimate(one.amounts, prices) - one.whole) / one.whole for one in observed[fold::folds]]
    return HeldOut(candidates=len(errors), mean=float(np.mean(errors)), worst=max(errors))


def estimate(found: Amounts, prices: Mapping[str, Mapping[str, float]]) -> float:
    """Return `cost.latency.charge`, except that a kind without a price costs what `OTHER` does."""
    return sum(
        value * prices.get(kind, prices[OTHER]).get(unit, 0.0)
        for kind, some in found.items()
        for unit, value in some.items()
    )


def calibrate(
    setting: LatencySetting,
    specs: Sequence[DetectorSpec],
    *,
    rounds: int = 12,
    seconds: float = 1.0,
) -> LatencyTable:
    """Fit the setting's table to `specs`, each timed eight to `rounds` times in about `seconds`.

    ValueError for fewer than two detectors.
    """
    if len(specs) < 2:
        raise ValueError(f"a table needs at least two detectors, but got {len(specs)}")
    observed, update = [], bar("calibrating", at_once=True)
    for done, spec in enumerate(specs, 1):
        observed.append(observe(spec, setting, rounds=rounds, seconds=seconds))
        update(done, len(specs), "detectors")
    return fitted_table(setting, observed)


def fitted_table(setting: LatencySetting, observed: Sequence[Observed]) -> LatencyTable:
    """Fit the table to the observed latencies."""
    reference = median(one.reference for one in observed)
    prices = fit_prices(observed, setting.batch)
    return LatencyTable(
        setting=setting,
        reference=reference,
        prices={kind: {unit: value * reference for unit, value in some.items()} for kind, some in prices.items()},
        error=held_out(observed, setting.batch),
        made_from={one.detector: (one.macs, one.whole * reference) for one in observed},
    )
