"""Is a family from `scalesearch fit --budgets` what its rows can tell? Writes results/checks/family.txt.

    python benchmarks/check_family.py            # some three minutes on one core
    python benchmarks/check_family.py --worlds 3 --out /tmp/family.txt

Each world has its own true AP for every detector, and its own 60 rows: half of them at random, half as star sweeps, one
dimension at a time from a centre. The family is then judged by the true AP of its members:

    lines      the form that the fit assumes: the best width, depth and heads are lines in the logarithm of the cost, whose slopes
               differ from world to world
    landscape  another form: the landscape of docs/rehearsal.md, with a residual of its own for every detector

Two budgets are between the known costs, two are 2 and 4 times above the dearest row.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import platform
import time
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scalesearch.app.scaling_family import family_for
from scalesearch.app.scaling_rows import dimensions_of, kind_of
from scalesearch.arch.backbone import parse
from scalesearch.arch.networks import bifpn
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.price import price
from scalesearch.evidence.scaling_law import Member
from scalesearch.evidence.scaling_surface import fit_surface
from scalesearch.rehearsal.landscape import Landscape

OUT = Path(__file__).parents[1] / "results" / "checks" / "family.txt"
KINDS = ("lines", "landscape")
ROWS, NOISE, RIVALS = 60, 0.8, 100
"""Rows, standard deviation of a training in AP points, and random designs that a member is compared with."""
BUDGETS = (0.35, 0.9, 2.0, 4.0)
"""By the cost of the dearest row."""
SIZES = range(96, 1025, 32)
BASE = DetectorSpec(
    size=(256, 256),
    classes=10,
    backbone=parse("efficientnet-w0.5-d0.5"),
    topology=bifpn(3, 7),
    repeats=3,
    width=64,
    head_width=64,
    head_depth=3,
)
VALUES = {
    "size": (160, 192, 224, 256, 320, 384, 448),
    "width": (32, 48, 64, 88, 112),
    "repeats": (1, 2, 3, 4, 5),
    "head_depth": (1, 2, 3, 4),
}
Truth = Callable[[DetectorSpec], float]


class Judged(NamedTuple):
    """A member of a family, beside the truth."""

    budget: float
    inside: bool
    """Whether the 80 % interval holds one more training of it."""
    error: float
    """Predicted minus true AP."""
    better: float
    """Share of random designs of its cost that are truly better."""


def shaped(**values: int) -> DetectorSpec:
    """The base with these dimensions."""
    size = values.pop("size", BASE.size[0])
    width = values.pop("width", BASE.width)
    return dataclasses.replace(BASE, size=(size, size), width=width, head_width=width, **values)  # type: ignore[arg-type]


def truth_of(kind: str, rng: np.random.Generator) -> Truth:
    """A world's true AP in points."""
    if kind == "landscape":
        land = Landscape(macs=400e6 * float(np.exp(rng.normal(0, 0.3))), epochs=40)
        return lambda spec: 100 * land.truth(spec)
    best = {"width": rng.uniform(0.1, 0.4), "repeats": rng.uniform(0.0, 0.3), "head_depth": rng.uniform(0.0, 0.3)}
    loss = {name: rng.uniform(1.0, 6.0) for name in best}
    exponent = rng.uniform(0.2, 0.5)

    def ap(spec: DetectorSpec) -> float:
        f = math.log(price(spec).macs / 0.5e9)
        away = {name: math.log(getattr(spec, name) / getattr(BASE, name)) - best[name] * f for name in best}
        return 50 - 12 * math.exp(-exponent * f) - sum(loss[name] * away[name] ** 2 for name in best)

    return ap


def rows_of(truth: Truth, rng: np.random.Generator) -> list[Member]:
    """Half random detectors, half star sweeps, one training each."""
    stars = [shaped(**{name: value}) for name, values in VALUES.items() for value in values]
    random = [shaped(**{name: int(rng.choice(values)) for name, values in VALUES.items()}) for _ in range(ROWS)]
    chosen = {spec.id: spec for spec in (*stars, *random)}
    found = []
    for spec in list(chosen.values())[:ROWS]:
        aps = (float(np.clip(truth(spec) + NOISE * rng.standard_normal(), 0, 100)),)
        found.append(
            Member(name=spec.id, macs=price(spec).macs, aps=aps, dimensions=dimensions_of(spec), kind=kind_of(spec))
        )
    return found


def rivals(budget: float, rng: np.random.Generator) -> list[DetectorSpec]:
    """Random designs that cost as much: the size is solved, within 15 % below the budget."""
    found: list[DetectorSpec] = []
    while len(found) < RIVALS:
        values = {
            "width": 8 * int(rng.integers(3, 25)),
            "repeats": int(rng.integers(1, 8)),
            "head_depth": int(rng.integers(1, 6)),
        }
        place = bisect_right(SIZES, budget, key=lambda size: price(shaped(size=size, **values)).macs) - 1
        spec = shaped(size=SIZES[max(place, 0)], **values)
        found += [spec] if 0.85 * budget <= price(spec).macs <= budget else []
    return found


def judge(kind: str, number: int) -> list[Judged]:
    """One world: its rows, its family, and the truth."""
    rng = np.random.default_rng([KINDS.index(kind), number])
    truth = truth_of(kind, rng)
    rows = rows_of(truth, rng)
    surface = fit_surface(rows)
    assert surface, "the rows vary in all dimensions"
    dearest = max(row.macs for row in rows)
    family = family_for(surface, BASE, [share * dearest for share in BUDGETS])
    found = []
    for share, one in zip(BUDGETS, family.members, strict=True):
        real = truth(one.spec)
        again = real + NOISE * rng.standard_normal()
        better = np.mean([truth(spec) > real for spec in rivals(one.budget, rng)])
        low, high = one.ap.of_80
        found.append(Judged(share, low <= again <= high, one.ap.value - real, float(better)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=30, help="Worlds of each kind.")
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args()
    start = time.process_time()
    text = [
        "benchmarks/check_family.py: families fitted to 60 rows of a world, judged by its true AP",
        f"{asked.worlds} worlds of each kind; a training's noise is {NOISE} AP; budgets by the dearest row's cost",
        "",
    ]
    for kind in KINDS:
        found = [one for number in range(asked.worlds) for one in judge(kind, number)]
        for share in BUDGETS:
            own = [one for one in found if one.budget == share]
            error = np.array([one.error for one in own])
            text.append(
                f"{kind:9s} {share:4.2f} x: inside 80 % {np.mean([one.inside for one in own]):.0%}, mean error {error.mean():+.2f} AP, "
                f"mean absolute error {abs(error).mean():.2f} AP; random designs of its cost that are better: "
                f"{np.mean([one.better for one in own]):.1%}"
            )
            print(text[-1], flush=True)
    text.append(f"{time.process_time() - start:.0f} s of one core ({platform.processor() or platform.machine()})")
    asked.out.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
