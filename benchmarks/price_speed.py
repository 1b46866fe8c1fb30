"""Candidates a second: `price` and `price_grid` beside fvcore's trace and torch's FlopCounterMode, interleaved.

    python benchmarks/price_speed.py > results/benchmarks/price_speed.md      (about two minutes)
    python benchmarks/price_speed.py --rounds 1 --grid 20                     (a try)

One thread. The grid is width factor x depth x size x head depth, for three topologies and four backbones, two of them
EfficientNets and two measured timm models: 1,000,000 detectors. The counters trace candidates of that same grid; the
single prices are of other d0-like detectors, no two alike, so that nothing is found in a cache.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import platform
import random
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from scalesearch.arch.backbone import Backbone, EfficientNet
from scalesearch.arch.networks import bifpn, fpn, panet
from scalesearch.arch.scaling import Compound, named
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.memory import inference_memory, peak_grid
from scalesearch.cost.price import price, price_grid
from scalesearch.profile.flop_counter import count, fvcore_count
from scalesearch.profile.resolve import resolve

SEED, PRICED, TRACED = 0, 5000, 2
SIZES = range(256, 641, 32)
DEPTHS, HEADS, PHI = range(1, 9), range(1, 6), 2.0
TIMM = ("resnet18", "mobilenetv3_small_050")


def candidates(number: int) -> list[DetectorSpec]:
    """Random detectors: width 0.6..1.2 and depth 0.6..1.4 of B0, BiFPN and others 40..88 x 2..5, 256..640 px."""
    rng, cells = random.Random(SEED), [fpn(), panet(), bifpn()]
    found = []
    for _ in range(number):
        width = rng.randrange(40, 89, 8)
        found.append(
            dataclasses.replace(
                named("d0"),
                backbone=EfficientNet(width=rng.uniform(0.6, 1.2), depth=rng.uniform(0.6, 1.4)),
                topology=rng.choice(cells),
                width=width,
                head_width=width,
                repeats=rng.randint(2, 5),
                head_depth=rng.randint(2, 4),
                size=(rng.choice(SIZES), rng.choice(SIZES)),
            )
        )
    return found


def grid(factors: int) -> tuple[list[DetectorSpec], dict[str, Any]]:
    """A base for each topology and backbone, and the axes: width factor, depth, size (square), head depth."""
    backbones: list[Backbone] = [EfficientNet(), EfficientNet(width=0.75, depth=1.4)]
    sizes = [(side, side) for side in SIZES]
    with tempfile.TemporaryDirectory() as cache:
        backbones += [resolve(name, sizes=sizes, levels=(3, 4, 5), cache=Path(cache)) for name in TIMM]
    bases = [
        dataclasses.replace(named("d0"), topology=topology, backbone=backbone, size=sizes[0])
        for topology in (fpn(), panet(), bifpn())
        for backbone in backbones
    ]
    widths = [Compound(width_factor=factor).width(PHI) for factor in np.linspace(1.0, 2.0, factors)]
    side = np.array(SIZES)[:, None]
    return bases, {
        "width": np.array(widths)[:, None, None, None],
        "repeats": np.array(DEPTHS)[:, None, None],
        "size": (side, side),
        "head_depth": np.array(HEADS),
    }


def some_of(bases: list[DetectorSpec], axes: dict[str, Any], rng: random.Random, number: int) -> list[DetectorSpec]:
    """Candidates of the grid, one by one."""
    found = []
    for _ in range(number):
        fields = {name: int(rng.choice(axes[name].ravel())) for name in ("width", "repeats", "head_depth")}
        side = int(rng.choice(axes["size"][0].ravel()))
        base = rng.choice(bases)
        found.append(dataclasses.replace(base, size=(side, side), head_width=fields["width"], **fields))
    return found


def seconds(call: Callable[[], object], number: int) -> float:
    """Processor seconds of one candidate."""
    start = time.process_time()
    call()
    return (time.process_time() - start) / number


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--grid", type=int, default=161, help="width factors; 161 make a grid of a million")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    specs = candidates(PRICED * args.rounds)
    bases, axes = grid(args.grid)
    number = len(bases) * args.grid * len(DEPTHS) * len(SIZES) * len(HEADS)
    rng = random.Random(SEED)
    found: dict[str, list[float]] = {}
    # As `timeit`, without the collector's walks over the 25,000 candidates that wait here.
    gc.collect()
    gc.freeze()

    def timed(name: str, call: Callable[[], object], count: int) -> None:
        found.setdefault(name, []).append(seconds(call, count))

    for i in range(args.rounds):
        mine, traced = specs[i * PRICED : (i + 1) * PRICED], some_of(bases, axes, rng, TRACED)
        timed("`price_grid`", lambda: [price_grid(base, **axes) for base in bases], number)
        timed(
            "`price_grid` and `peak_grid`",
            lambda: [(price_grid(b, **axes), peak_grid(b, **axes)) for b in bases],
            number,
        )
        timed("`price`", lambda mine=mine: [price(spec) for spec in mine], PRICED)
        timed("`inference_memory`", lambda mine=mine[:500]: [inference_memory(spec) for spec in mine], 500)
        timed("torch FlopCounterMode (meta)", lambda traced=traced: [count(spec) for spec in traced], TRACED)
        timed("fvcore", lambda traced=traced: [fvcore_count(spec) for spec in traced], TRACED)
    medians = {name: median(values) for name, values in found.items()}
    print("`python benchmarks/price_speed.py > results/benchmarks/price_speed.md`\n")
    print(
        f"{platform.machine()}, one thread, torch {torch.__version__}, numpy {np.__version__}, {args.rounds} interleaved "
        f"rounds, medians of processor time; a grid of {number:,} candidates in "
        f"{medians['`price_grid`'] * number:.2f} s, with peak activation memory "
        f"{medians['`price_grid` and `peak_grid`'] * number:.2f} s\n"
    )
    print("| counter | candidates a second | microseconds each | fvcore's time is times this | torch's is times this |")
    print("| --- | --- | --- | --- | --- |")
    for name, value in medians.items():
        ratios = [medians[other] / value for other in ("fvcore", "torch FlopCounterMode (meta)")]
        print(f"| {name} | {1 / value:,.1f} | {value * 1e6:,.2f} | {ratios[0]:,.0f} | {ratios[1]:,.0f} |")


if __name__ == "__main__":
    main()
