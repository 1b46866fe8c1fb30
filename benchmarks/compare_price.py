"""Prices before and after "one description of the network": equal numbers, and how fast each is.

    python benchmarks/compare_price.py                              (about four minutes on one core)
    python benchmarks/compare_price.py --points 2000 --graphs 100 --rounds 2 --out /tmp/compare.txt

Revision 0a0bcb0 is the last one that unrolled the network by hand, once for each metric; today one symbolic graph of
operators gives all of them. Both run in one process (`versions.py`). Parameters, multiply-adds, activations, peak,
inference and training memory are compared over grids and over single free graphs. Then both are timed in turn. Exit
status 1 if a single integer differs.

The revision has to be in the clone; in a shallow clone nothing is compared, so no test runs this.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

import numpy as np
from check_grid import structures
from price_speed import candidates
from price_speed import grid as million
from rich.progress import track
from versions import PACKAGE, MissingError, Version, extracted

from scalesearch.arch.backbone import EfficientNet
from scalesearch.arch.genes import Genes
from scalesearch.arch.networks import ONE_SPAN, TOPOLOGIES
from scalesearch.arch.scaling import PUBLISHED, Compound, named
from scalesearch.arch.spec import DetectorSpec
from scalesearch.arch.topology import FUSIONS, GATES, Topology

SEED = 0
SHAPES = list(PUBLISHED)
BACKBONES = (EfficientNet(), EfficientNet(width=0.75, depth=1.4), EfficientNet(width=0.5, lite=True))
NETWORKS = [make for name, make in TOPOLOGIES.items() if name not in ONE_SPAN]
UNGATED = [name for name in FUSIONS if name not in GATES]

# ---- equal numbers ----


class Grid(NamedTuple):
    """Points to compare: a base and the axes of a grid over it."""

    kind: str
    base: DetectorSpec
    axes: dict[str, Any]
    topologies: tuple[Topology, ...] = ()
    """The axis of topologies; empty: that of the base."""


def graph(seed: int) -> Topology:
    """Return a random free graph: levels 3..7, up to 10 nodes of up to 3 inputs, sums and fast fusions."""
    genes, rng = _genes(), random.Random(seed)
    return genes.decode({name: rng.randrange(choices) for name, choices in genes.axes.items()})


@cache
def _genes() -> Genes:
    return Genes(levels=(3, 7), nodes=10, inputs=3, fusions=("sum", "fast"))


def grids(points: int, cache_folder: Path) -> Iterator[Grid]:
    """Yield grids of about `points` points in all, a quarter of each kind."""
    quarter, rng = points // 4, np.random.default_rng(SEED)
    for base, axes in structures(quarter, 250, cache_folder):
        yield Grid("any option", base, axes)
    widths = -(-quarter // (12 * len(BACKBONES) * len(UNGATED) * len(NETWORKS)))
    for backbone, fusion in product(BACKBONES, UNGATED):
        axes = {"width": 8 * rng.integers(1, 40, (widths, 1, 1)), "repeats": np.array([1, 4, 9])[:, None]}
        axes |= {"size": (np.array([96, 333, 512, 640]), np.array([128, 320, 512, 384]))}
        topologies = tuple(make(fusion=fusion) for make in NETWORKS)
        yield Grid("named networks", dataclasses.replace(named("d0"), backbone=backbone), axes, topologies)
    for seed in range(-(-quarter // 250)):
        base = dataclasses.replace(named(SHAPES[seed % len(SHAPES)]), topology=graph(-seed - 1))
        axes = {"width": 8 * rng.integers(1, 40, 250), "head_width": 8 * rng.integers(1, 40, 250)}
        axes |= {"repeats": rng.integers(1, 9, 250), "head_depth": rng.integers(0, 6, 250)}
        yield Grid("free graphs", base, axes | {"size": (rng.integers(64, 900, 250), rng.integers(64, 900, 250))})
    for _ in range(-(-quarter // 240)):
        rule = Compound(width_factor=float(rng.uniform(1.1, 1.5)), repeats_step=float(rng.uniform(0.5, 2)))
        phis = np.arange(8)
        axes = {"width": np.array([rule.width(phi) for phi in phis])[:, None, None]}
        axes |= {"repeats": np.array([rule.repeats(phi) for phi in phis])[:, None, None]}
        axes |= {"head_depth": np.array([rule.head_depth(phi) for phi in phis])[:, None, None]}
        axes |= {"size": 8 * rng.integers(16, 100, (6, 1)), "per_cell": np.array([1, 3, 6, 9, 12])}
        backbone = EfficientNet(width=float(rng.uniform(0.3, 2)), depth=float(rng.uniform(0.3, 3)))
        yield Grid("families", dataclasses.replace(named("d0"), backbone=backbone), axes)


def different(before: Version, today: Version, points: int, graphs: int) -> tuple[dict[str, int], list[str]]:
    """Compare all metrics; return the points compared by kind, and where they differ."""
    counts: dict[str, int] = {}
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, base, axes, topologies in track(list(grids(points, Path(folder))), "grids"):
            old, new = (
                version.grid(
                    version.spec(base), axes | ({"topology": version.topologies(topologies)} if topologies else {})
                )
                for version in (before, today)
            )
            unequal = (old != new).any(0) if old.shape == new.shape else np.ones(old.shape[1:], bool)
            counts[kind] = counts.get(kind, 0) + unequal.size
            if unequal.any():
                wrong.append(f"{kind}, {base.id}: {unequal.sum()} of {unequal.size} points")
    for seed in track(range(graphs), "graphs"):
        spec = dataclasses.replace(named(SHAPES[seed % len(SHAPES)], size=(256, 320)), topology=graph(seed))
        if (old := before.one(before.spec(spec))) != (new := today.one(today.spec(spec))):
            wrong.append(f"free graph of seed {seed}: before {old}, today {new}")
    return counts | {"free graphs one by one": graphs}, wrong


# ---- speed ----


class Case(NamedTuple):
    """One kind of work for both versions."""

    name: str
    inputs: Callable[[Version, int], Any]
    """(version, round) -> what is made before the clock starts."""
    run: Callable[[Version, Any], object]
    count: int
    """The candidates that it prices."""


def _each(function: Callable[[Version], Callable[..., object]], *arguments: str) -> Callable[[Version, Any], object]:
    def run(version: Version, specs: Any) -> object:
        call, others = function(version), [getattr(version, name) for name in arguments]
        return [call(spec, *others) for spec in specs]

    return run


def cases(rounds: int) -> list[Case]:
    """Return what is timed."""
    prices = _each(lambda version: version.package.price)
    inference = _each(lambda version: version.memory.inference_memory)
    training = _each(lambda version: version.memory.training_memory, "training")
    specs = candidates(500 * (rounds + 2))
    bases, axes = million(161)
    size = len(bases) * 161 * 8 * 12 * 5

    @cache
    def known(version: Version) -> list[Any]:
        found = [version.spec(spec) for spec in specs[:500]]
        for run in (prices, inference, training):
            run(version, found)
        return found

    @cache
    def base(version: Version) -> list[Any]:
        return [version.spec(one) for one in bases]

    def new(version: Version, i: int) -> list[Any]:
        return [version.spec(spec) for spec in specs[500 * (i + 1) :][:500]]

    def unseen(start: int, count: int) -> Callable[[Version, int], list[Any]]:
        def made(version: Version, i: int) -> list[Any]:
            seeds = range(start + i * count, start + (i + 1) * count)
            return [version.spec(dataclasses.replace(named("d0"), topology=graph(seed))) for seed in seeds]

        return made

    return [
        Case("price, again", lambda version, i: known(version), prices, 500),
        Case("price, backbone not seen before", new, prices, 500),
        Case("price, topology not seen before", unseen(1_000_000, 500), prices, 500),
        Case(
            "price_grid",
            lambda version, i: base(version),
            _each(lambda v: lambda b: v.package.price_grid(b, **axes)),
            size,
        ),
        Case(
            "peak_grid",
            lambda version, i: base(version),
            _each(lambda v: lambda b: v.memory.peak_grid(b, **axes)),
            size,
        ),
        Case("inference memory, again", lambda version, i: known(version), inference, 500),
        Case("inference memory, topology not seen before", unseen(2_000_000, 50), inference, 50),
        Case("training memory, again", lambda version, i: known(version), training, 500),
        Case("training memory, topology not seen before", unseen(3_000_000, 50), training, 50),
        Case(
            "random draw of a free graph in a band", lambda version, i: i, lambda version, i: version.draws(i, 20), 20
        ),
    ]


def timed(before: Version, today: Version, rounds: int) -> Iterator[str]:
    """Yield a line for each case: microseconds of each version, and the ratio within the same round."""
    yield f"{'microseconds of a candidate':44} {'before':>10} {'today':>10} {'today a second':>15}   speed before = 1 (quartiles)"
    for case in track(cases(rounds), "timing"):
        seconds: dict[Version, list[float]] = {before: [], today: []}
        for i in range(-1, rounds):
            # Each round starts with the other version. The first, in which caches are filled and imports run, is left out.
            for version in (before, today) if i % 2 else (today, before):
                inputs = case.inputs(version, i + 1)
                gc.collect()
                gc.freeze()
                start = time.process_time()
                case.run(version, inputs)
                if i >= 0:
                    seconds[version].append((time.process_time() - start) / case.count)
        ratios = [old / new for old, new in zip(seconds[before], seconds[today], strict=True)]
        low, middle, high = quantiles(ratios, n=4, method="inclusive")
        old, new = median(seconds[before]), median(seconds[today])
        yield (
            f"{case.name:44} {old * 1e6:10,.2f} {new * 1e6:10,.2f} {1 / new:15,.0f}   {middle:.2f} ({low:.2f} .. {high:.2f})"
        )


def main() -> int:
    """Compares, prints and writes the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", default="0a0bcb0", help="the earlier revision")
    parser.add_argument("--points", type=int, default=100_000, help="of all grids")
    parser.add_argument("--graphs", type=int, default=1_000, help="free graphs one by one")
    parser.add_argument("--rounds", type=int, default=11, help="of timing")
    parser.add_argument("--out", type=Path, default=Path("results/checks/price_vs_before.txt"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            extracted(args.against, Path(folder))
        except MissingError as error:
            print(error)
            return 0
        sys.path.insert(0, folder)
        before, today = Version(PACKAGE), Version("scalesearch")
        counts, wrong = different(before, today, args.points, args.graphs)
        speeds = list(timed(before, today, args.rounds))
    lines = [
        f"price and memory of today against those of revision {args.against}:",
        "parameters, multiply-adds, activations, peak, inference and training memory, each equal to the last digit",
        f"    python benchmarks/compare_price.py --against {args.against}",
        "",
        f"points          {sum(counts.values()):,}: {', '.join(f'{kind} {count:,}' for kind, count in counts.items())}",
        f"different       {len(wrong)}",
        *(f"  {text}" for text in wrong[:20]),
        "",
        *speeds,
        "",
        f"processor time, medians of {args.rounds} rounds in which both take turns; one thread",
        f"versions        python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}",
    ]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
