"""Are grids the same integers as their points one by one? Params, macs, activations, and memory of both kinds.

    python benchmarks/check_grid.py                                    (about five minutes on one core)
    python benchmarks/check_grid.py --count 1500 --out /tmp/grid.txt

Random points: all topologies and fusions, EfficientNets and timm backbones, rectangular sizes, every option of a spec,
widths equal to the backbone's among them. Each structure is priced once over arrays of its points' dimensions, and each
point by itself. Exit status 1 where a single integer differs.
"""

from __future__ import annotations

import argparse
import dataclasses
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from scalesearch.arch.backbone import EfficientNet, TimmBackbone
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.memory import TrainingSettings, peak_activations, peak_grid
from scalesearch.cost.metrics import BY_ARRAY, Meter
from scalesearch.profile.price_check import random_spec
from scalesearch.profile.resolve import resolve

POINTS = 500
"""Of each structure."""
SIDES = (64, 96, 100, 160, 224, 320, 333, 512)
"""Sides of an image; a timm backbone is measured at those that 32 divides."""
METER = Meter(asked=("memory", "training_memory"), training=TrainingSettings(batch=4, optimizer="sgd"))


def structures(count: int, points: int, cache: Path) -> Iterator[tuple[DetectorSpec, dict[str, Any]]]:
    """Random specs, each with arrays of dimensions for `points` points."""
    for seed in range(-(-count // points)):
        spec, rng = random_spec(seed, cache), np.random.default_rng(seed)
        sides = [side for side in SIDES if side % 32 == 0]
        if isinstance(spec.backbone, EfficientNet):
            sides = [*SIDES]
        else:
            sizes = [(height, width) for height in sides[:3] for width in sides[:3]]
            backbone = resolve(spec.backbone, sizes=sizes, levels=spec.backbone_levels, cache=cache)
            spec, sides = dataclasses.replace(spec, backbone=backbone, size=sizes[0]), sides[:3]
        # A lateral may be dropped at equal width: every third width is the backbone's.
        own = [spec.backbone.channels(level) for level in spec.backbone_levels]
        width = np.where(rng.random(points) < 0.3, rng.choice(own, points), 8 * rng.integers(1, 40, points))
        yield (
            spec,
            {
                "size": (rng.choice(sides, points), rng.choice(sides, points)),
                "width": width,
                "head_width": 8 * rng.integers(1, 40, points),
                "repeats": rng.integers(1, 10, points),
                "head_depth": rng.integers(0, 6, points),
            },
        )


def different(spec: DetectorSpec, dimensions: dict[str, Any]) -> list[str]:
    """The points of one structure whose metrics are not those of the grid."""
    grid = METER.grid(spec, **dimensions)
    peaks: Any = peak_grid(spec, **dimensions)
    wrong = []
    for i in range(len(dimensions["width"])):
        fields = {name: int(values[i]) for name, values in dimensions.items() if name != "size"}
        size = (int(dimensions["size"][0][i]), int(dimensions["size"][1][i]))
        one = dataclasses.replace(spec, size=size, **fields)
        found, alone = {name: int(grid[name][i]) for name in BY_ARRAY}, METER(one)  # type: ignore[index]
        found["peak"], alone["peak"] = int(peaks[i]), peak_activations(one)
        if found != alone:
            wrong.append(f"{one.id} at {size}: grid {found}, alone {alone}")
    return wrong


def main() -> int:
    """Checks, prints and writes the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--points", type=int, default=POINTS, help="of each structure")
    parser.add_argument("--out", type=Path, default=Path("results/checks/grid.txt"))
    args = parser.parse_args()
    started, wrong, kinds, checked = time.perf_counter(), [], Counter[str](), 0
    spans, fusions = Counter[str](), set()
    with tempfile.TemporaryDirectory() as cache:
        structured = structures(args.count, args.points, Path(cache))
        for spec, dimensions in track(structured, "checking", -(-args.count // args.points)):
            wrong += different(spec, dimensions)
            checked += args.points
            kinds[spec.backbone.name if isinstance(spec.backbone, TimmBackbone) else "efficientnet"] += 1
            spans[f"{spec.topology.min_level}..{spec.topology.max_level}"] += 1
            fusions |= {node.fusion for node in spec.topology.nodes}
    lines = [
        "price_grid, peak_grid, memory_grid and training_memory_grid against the same figures one by one: params, macs,",
        "activations, peak activation memory, inference and training memory, each equal to the last digit",
        f"    python benchmarks/check_grid.py --count {args.count} --points {args.points}",
        "",
        f"random points   {checked} of {sum(kinds.values())} structures",
        f"backbones       {', '.join(f'{name} {count}' for name, count in sorted(kinds.items()))}",
        f"levels          {', '.join(f'{name} {count}' for name, count in sorted(spans.items()))}",
        f"fusions         {', '.join(sorted(fusions))}",
        f"versions        python {platform.python_version()}, numpy {np.__version__}",
        f"time            {time.perf_counter() - started:.0f} s on one thread",
        f"different       {len(wrong)}",
        *(f"  {text}" for text in wrong[:20]),
    ]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
