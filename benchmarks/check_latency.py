"""Predicted against measured latency, on detectors that the table was not made from, beside a fit to multiply-adds.

    python benchmarks/check_latency.py --backend eager [--device cpu] [--threads 1] [--table FILE] [--count 30]
    python benchmarks/check_latency.py --backbones regnetx_004 regnety_008 regnetx_016 resnext50_32x4d --out FILE

Without --table one is made first, as `scalesearch calibrate` does. Latencies are ratios to the reference operation that
runs in turn with each detector. Writes results/checks/latency_<device>_<backend>.txt; some seven minutes on a quiet
core. The candidates are of another draw than the calibration's, with timm models that it has not. Exit status 1 where
the mean error is over 10 % or the rank correlation under 0.95.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import sys
import time
import warnings
from pathlib import Path
from statistics import median

import numpy as np
from rich.progress import track
from scipy.optimize import nnls
from scipy.stats import spearmanr

from scalesearch.app.measure_latency import DETECTORS
from scalesearch.arch.backbone import Backbone, EfficientNet, TimmBackbone
from scalesearch.arch.networks import ONE_SPAN, TOPOLOGIES
from scalesearch.arch.scaling import named
from scalesearch.arch.spec import DetectorSpec
from scalesearch.console.progress import RichConsole
from scalesearch.cost.latency import LatencyTable, predict_latency
from scalesearch.cost.price import price
from scalesearch.plan.latency_table import read_table
from scalesearch.profile.calibrate import calibrate, candidate
from scalesearch.profile.latency_benchmark import REFERENCE, deployed, take_turns
from scalesearch.profile.latency_setting import setting_of
from scalesearch.profile.resolve import resolve_spec

TIMM = ("resnet34", "mobilenetv3_large_075", "regnetx_004", "efficientnet_lite0", "mobilenetv4_conv_small")
MACS = (25e6, 2.5e9)


def drawn(seed: int) -> DetectorSpec:
    """A detector of 25 M to 2.5 G multiply-adds drawn from `seed` alone."""
    draw = random.Random(f"check {seed}")
    while True:
        network = draw.choice(list(TOPOLOGIES))
        span = ONE_SPAN.get(network, draw.choice(((3, 7), (3, 7), (3, 6))))
        backbone: Backbone = EfficientNet(
            width=round(draw.uniform(0.35, 1.3), 2), depth=round(draw.uniform(0.3, 1.5), 2), lite=draw.random() < 0.3
        )
        if draw.random() < 0.25:
            backbone = TimmBackbone(name=draw.choice(TIMM))
        width, long = 8 * draw.randint(3, 16), 32 * draw.randint(4, 20)
        bare = dataclasses.replace(
            named("d0"),
            backbone=backbone,
            topology=TOPOLOGIES[network](*span).fused(draw.choice(("fast", "softmax", "sum", "channel_softmax"))),
            size=(draw.choice((long, long, max(128, long // 64 * 32))), long),
            classes=draw.choice((2, 20, 90)),
            width=width,
            head_width=width,
            repeats=draw.randint(1, 4),
            head_depth=draw.randint(1, 4),
            separable=draw.random() < 0.9,
            activation=draw.choice(("silu", "silu", "relu6", "hard_swish")),
            padding=draw.choice(("same", "symmetric")),
        )
        spec = resolve_spec(bare)
        if MACS[0] <= price(spec).macs <= MACS[1]:
            return spec


def _on(backbone: str) -> DetectorSpec:
    bare = dataclasses.replace(
        named("d0"), size=(256, 256), backbone=TimmBackbone(name=backbone), repeats=2, classes=20
    )
    return resolve_spec(bare)


def by_macs(table: LatencyTable, macs: list[int]) -> list[float]:
    """Return the predictions of a line through multiply-adds, fitted to the table's own detectors by relative error."""
    known, seconds = np.array([*table.made_from.values()], dtype=float).T
    (slope, start), _ = nnls(np.stack([known, np.ones_like(known)], 1) / seconds[:, None], np.ones_like(known))
    return [float(slope * one + start) for one in macs]


def errors(guessed: list[float], measured: list[float]) -> tuple[float, float, float]:
    """Mean and largest relative error, and Spearman's rank correlation."""
    off = [abs(a - b) / b for a, b in zip(guessed, measured, strict=True)]
    return sum(off) / len(off), max(off), float(spearmanr(guessed, measured).statistic)


def main() -> int:
    """Calibrates, measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--backend", default="eager")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--table", type=Path, help="made by scalesearch calibrate; else one is made first")
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument(
        "--backbones", nargs="*", help="instead: D0 at 256 with 2 cells on each of these models of timm"
    )
    parser.add_argument("--calibration", type=int, default=DETECTORS, help="detectors that a new table is made from")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    started = time.perf_counter()
    setting = setting_of(args.device, args.backend, args.precision, args.threads, 1)
    if args.table:
        table = read_table(args.table)
    else:
        drawn_for_it = [candidate(seed) for seed in track(range(args.calibration), "drawing")]
        with RichConsole():
            table = calibrate(setting, drawn_for_it)
    specs = [_on(name) for name in args.backbones] if args.backbones else [drawn(seed) for seed in range(args.count)]
    assert not {spec.id for spec in specs} & set(table.made_from), "a candidate was used for calibration"
    measured, waited = [], []
    for spec in track(specs, "measuring"):
        turns = take_turns(deployed(spec, setting)[0], setting, rounds=60, seconds=3.0)
        measured.append(median(turns.ratios))
        waited.append(turns.waited)
    predicted = [predict_latency(spec, table) / table.reference for spec in specs]
    rough = [one / table.reference for one in by_macs(table, [price(spec).macs for spec in specs])]
    ours, lines = errors(predicted, measured), errors(rough, measured)
    text = "\n".join(
        [
            f"predicted against measured latency: {table.setting}",
            ", ".join(f"{package} {version}" for package, version in table.setting.versions.items()),
            f"ratios to the reference operation ({REFERENCE})",
            f"table made from {len(table.made_from)} detectors; its own held-out error: {table.error}",
            f"other processes had the processor for {median(waited):.0%} of the measuring time (median)",
            "",
            f"on {len(specs)} other detectors      mean error   largest   rank correlation",
            f"predicted                  {ours[0]:8.1%} {ours[1]:10.0%} {ours[2]:14.3f}",
            f"line through multiply-adds {lines[0]:8.1%} {lines[1]:10.0%} {lines[2]:14.3f}",
            "",
            "   macs  measured predicted  by macs  detector",
            *(
                f"{price(spec).macs / 1e6:6.0f}M {m:9.2f} {p:9.2f} {r:8.2f}  {_words(spec)}"
                for spec, m, p, r in zip(specs, measured, predicted, rough, strict=True)
            ),
            "",
            f"python benchmarks/check_latency.py {' '.join(sys.argv[1:])}".rstrip()
            + f"  ({time.perf_counter() - started:.0f} s)",
        ]
    )
    out = args.out or Path(f"results/checks/latency_{args.device}_{args.backend}.txt")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text + "\n")
    print(text)
    return 0 if ours[0] <= 0.10 and ours[2] >= 0.95 else 1


def _words(spec: DetectorSpec) -> str:
    network = next(
        (name for name, make in TOPOLOGIES.items() if _same(make, spec)), f"{len(spec.topology.nodes)} nodes"
    )
    return (
        f"{spec.backbone.name}, {network} {spec.topology.nodes[-1].fusion}, {spec.size[0]}x{spec.size[1]}, "
        f"width {spec.width}, {spec.repeats} cells, heads {spec.head_depth}, {spec.activation}"
    )


def _same(make: object, spec: DetectorSpec) -> bool:
    low, high = spec.topology.min_level, spec.topology.max_level
    name = next(name for name, one in TOPOLOGIES.items() if one is make)
    if ONE_SPAN.get(name, (low, high)) != (low, high):
        return False
    return TOPOLOGIES[name](low, high).fused("sum") == spec.topology.fused("sum")


if __name__ == "__main__":
    sys.exit(main())
