"""Candidates a second: `price` beside fvcore's trace and torch's FlopCounterMode, interleaved on the same detectors.

    python benchmarks/price_speed.py > results/benchmarks/price_speed.md      (about a minute)

One thread. The candidates are d0-like: random backbone, widths, depths and sizes, no two alike.
"""

from __future__ import annotations

import dataclasses
import platform
import random
import time
import warnings
from collections.abc import Callable
from statistics import median

import torch

from scalesearch.arch.backbone import EfficientNet
from scalesearch.arch.cost import price
from scalesearch.arch.networks import bifpn, fpn, panet
from scalesearch.arch.scaling import named
from scalesearch.arch.spec import DetectorSpec
from scalesearch.profile.trace import count, fvcore_count

SEED, ROUNDS, PRICED = 0, 5, 5000


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
                size=(rng.randrange(256, 641, 32), rng.randrange(256, 641, 32)),
            )
        )
    return found


def seconds(call: Callable[[DetectorSpec], object], specs: list[DetectorSpec]) -> float:
    """Processor seconds for one candidate."""
    start = time.process_time()
    for spec in specs:
        call(spec)
    return (time.process_time() - start) / len(specs)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    specs = candidates(PRICED * ROUNDS)
    calls: dict[str, Callable[[DetectorSpec], object]] = {
        "price": price,
        "torch FlopCounterMode (meta)": count,
        "fvcore": fvcore_count,
    }
    found: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(ROUNDS):
        for name, call in calls.items():
            some = specs[i * PRICED : (i + 1) * PRICED]
            found[name].append(seconds(call, some if name == "price" else some[:2]))
    ours = median(found["price"])
    print(f"{platform.machine()}, one thread, torch {torch.__version__}, {ROUNDS} interleaved rounds, medians\n")
    print("| counter | candidates a second | times the processor time of `price` |\n| --- | --- | --- |")
    for name, values in found.items():
        print(f"| {name} | {1 / median(values):,.1f} | {median(values) / ours:,.0f} |")


if __name__ == "__main__":
    main()
