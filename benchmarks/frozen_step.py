"""A training step with frozen stages against one of the whole detector, and eight feature networks on one frozen trunk
against eight trainings: time and memory.

    python benchmarks/frozen_step.py [--rounds 9] [--out results/benchmarks/frozen_step.md]

EfficientNet-Lite0 at 256x256, BiFPN of width 64, two cells, heads of two convolutions, one thread, batch 8. A step is
labelling, forward, loss, backward, clipping, the optimiser's step and the average of weights, of images that lie in memory.
Each variant has its turn in each round; times are medians of processor time, which other work on the machine moves less
than the clock. Kept for backward is what saved-tensor hooks see; the peak is of a process of its own that does three steps,
less what it held before the detector was built.

The eight are FPN, PANet, BiFPN and QuFPN with one cell and with two. Their runs are of the digits: a tenth of the training
images with the default zoom and flips, 40 steps, statistics over 16 batches, an evaluation on 60 images; alone, one after the
other, and together, each in a process of its own. Curves and losses must be equal, to the bit. Six minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from scalesearch.arch.backbone import TimmBackbone
from scalesearch.arch.networks import bifpn, fpn, panet, qufpn
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.memory import TrainingSettings, training_memory
from scalesearch.cost.price import price
from scalesearch.data.pixels import open_pixels
from scalesearch.data.sets import open_data
from scalesearch.nn.allocator import keep_freed_memory
from scalesearch.nn.anchors import anchor_boxes
from scalesearch.nn.detector import Detector, build
from scalesearch.nn.frozen import frozen_names, set_frozen, train_unfrozen
from scalesearch.nn.losses import assign
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.task import Outcome, Task
from scalesearch.profile.environment import machine
from scalesearch.profile.memory_trace import kept_bytes
from scalesearch.profile.resolve import resolve_spec
from scalesearch.training.ema import Average
from scalesearch.training.loop import losses
from scalesearch.training.optimizer import make_optimizer, set_rate
from scalesearch.training.peak_memory import PeakMemory
from scalesearch.training.run_task import run_tasks

BATCH = 8
CPU = torch.device("cpu")
FREEZES = ("none", "2", "3", "backbone")
SPEC = DetectorSpec(
    size=(256, 256),
    classes=3,
    backbone=TimmBackbone(name="tf_efficientnet_lite0"),
    topology=bifpn(3, 7),
    repeats=2,
    width=64,
    head_width=64,
    head_depth=2,
)


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/frozen_step.md"))
    parser.add_argument("--peak", choices=FREEZES, help="print the peak of this variant alone, in bytes")
    parser.add_argument("--run", choices=("alone", "together"), help="print what the runs of the eight take and give")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.peak:
        print(json.dumps(peak(args.peak)))
        return
    if args.run:
        print(json.dumps(run_eight(together=args.run == "together")))
        return
    keep_freed_memory()  # as every training does
    spec = resolve_spec(SPEC)
    times = measured({freeze: step_of(spec, freeze) for freeze in FREEZES}, args.rounds)
    text = (
        table(spec, times, args.rounds)
        + eight(args.rounds)
        + f"\n`python benchmarks/frozen_step.py --rounds {args.rounds}`\n"
    )
    print(text, end="")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(text)


def detector_of(spec: DetectorSpec, freeze: str) -> Detector:
    """Return the detector as a training holds it."""
    detector = build(spec).to(memory_format=torch.channels_last)
    set_frozen(detector, frozen_names(detector, freeze))
    train_unfrozen(detector)
    return detector


def step_of(spec: DetectorSpec, freeze: str, maps: list[torch.Tensor] | None = None) -> Callable[[], None]:
    """Return a function that does a step; with the backbone's `maps`, that of its feature network and heads alone."""
    torch.manual_seed(0)
    detector, recipe = detector_of(spec, freeze), Recipe()
    fixed = ("backbone.",) if freeze == "backbone" else ()
    optimizer, average = make_optimizer(detector, recipe), Average(detector, recipe.ema, fixed=fixed)
    images = torch.randn(BATCH, 3, *spec.size).to(memory_format=torch.channels_last)
    boxes = torch.tensor([[[20.0, 30.0, 90.0, 100.0], [100.0, 100.0, 160.0, 170.0]]] * BATCH)
    labels, anchors = torch.tensor([[0, 1]] * BATCH), anchor_boxes(spec, CPU)

    def step() -> None:
        targets = assign(anchors, boxes, labels, iou=recipe.match_iou, best=recipe.match_best)
        loss = losses(detector.from_maps(maps) if maps else detector(images), targets, recipe).total
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(detector.parameters(), recipe.clip)
        set_rate(optimizer, 1e-4)
        optimizer.step()
        average.update(1)

    return step


def measured(steps: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each step; the first round, which allocates, does not count."""
    times: dict[str, list[float]] = {freeze: [] for freeze in steps}
    for _ in range(rounds + 1):
        for freeze, step in steps.items():
            start = time.process_time()
            step()
            times[freeze].append(time.process_time() - start)
    return {freeze: median(found[1:]) for freeze, found in times.items()}


def peak(freeze: str) -> int:
    """Return the peak of the resident memory over three steps, less what was held before."""
    spec = resolve_spec(SPEC)
    status = Path("/proc/self/status").read_text().splitlines()
    before = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))
    memory, step = PeakMemory(CPU), step_of(spec, freeze)
    for _ in range(3):
        step()
    return memory.read() - before


def table(spec: DetectorSpec, times: dict[str, float], rounds: int) -> str:
    """Return the table as Markdown."""
    cost, images = price(spec), torch.randn(BATCH, 3, *spec.size).to(memory_format=torch.channels_last)
    lines = []
    for freeze, seconds in times.items():
        detector = detector_of(spec, freeze)
        kept = kept_bytes(detector, lambda model=detector: model(images))  # type: ignore[misc]
        arithmetic = {"none": False, "backbone": True}.get(freeze)
        told = (
            "between"
            if arithmetic is None
            else f"{training_memory(spec, TrainingSettings(batch=BATCH, frozen=arithmetic)) / 1e6:.0f}"
        )
        command = [sys.executable, __file__, "--peak", freeze]
        resident = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        ratio = seconds / times["none"]
        lines.append(
            f"| {freeze} | {seconds * 1e3:.0f} | {ratio:.2f} | {kept / 1e6:.0f} | {told} | {resident / 1e6:.0f} |"
        )
    told = ", ".join(f"{name} {value}" for name, value in machine().items())
    return (
        "# A step with frozen stages\n\n"
        f"EfficientNet-Lite0 at 256x256, BiFPN 64 x 2, heads of two convolutions: {cost.macs / 1e6:.0f} M multiply-adds an image, "
        f"batch {BATCH}, one thread, {rounds} rounds; {told}, torch {torch.__version__}.\n\n"
        "`freeze`: none of the backbone, its stages up to the map of level 2 or 3, all of it. Processor time of a step; memory "
        "kept for backward; all of a training's by arithmetic (`cost/memory.py`); peak of the resident set.\n\n"
        "| freeze | ms a step | of the whole | kept, MB | by arithmetic, MB | peak, MB |\n|---|---|---|---|---|---|\n"
        + "\n".join(lines)
        + "\n"
    )


def eight(rounds: int) -> str:
    """Return the table of the eight feature networks on one trunk as Markdown."""
    found = step_shares(rounds)
    alone, together = (_run(kind) for kind in ("alone", "together"))
    assert [row["rows"] for row in (alone, together)] == [alone["rows"]] * 2, "rows are those of trainings alone"
    shares = [seconds["together"] / seconds["alone"] for seconds in found.values()]
    lines = [
        f"| {name} | {seconds['alone'] * 1e3:.0f} | {seconds['together'] * 1e3:.0f} | {share:.2f} | |"
        for (name, seconds), share in zip(found.items(), shares, strict=True)
    ]
    run = together["seconds"] / alone["seconds"]
    peaks = " / ".join(f"{row['peak'] / 1e6:.0f}" for row in (alone, together))
    lines.append(
        f"| the eight, whole runs | {alone['seconds'] * 1e3:.0f} | {together['seconds'] * 1e3:.0f} | {run:.2f} | {peaks} |"
    )
    return (
        "\n## Eight feature networks on one frozen trunk\n\n"
        "Width 64, heads of two convolutions. Processor time of eight training steps one after the other, and of the same with one "
        "forward pass of the backbone; of whole runs (40 steps, statistics over 16 batches, an evaluation on 60 images) with the "
        "peak of the resident set alone / together. Curves and losses of the runs are equal to the bit.\n\n"
        "| eight | alone, ms | together, ms | share | peak, MB |\n|---|---|---|---|---|\n" + "\n".join(lines) + "\n"
    )


def necks(spec: DetectorSpec) -> dict[str, DetectorSpec]:
    """Return the eight detectors, which differ behind the backbone."""
    networks = {"fpn": fpn, "panet": panet, "bifpn": bifpn, "qufpn": qufpn}
    return {
        f"{name} x {repeats}": replace(spec, topology=make(3, 7), repeats=repeats)
        for name, make in networks.items()
        for repeats in (1, 2)
    }


def step_shares(rounds: int) -> dict[str, dict[str, float]]:
    """Return the seconds of eight steps of each kind of feature network, alone and together."""
    spec = resolve_spec(SPEC)
    maps = detector_of(spec, "backbone").backbone
    images = torch.randn(BATCH, 3, *spec.size).to(memory_format=torch.channels_last)
    steps: dict[str, Callable[[], None]] = {"trunk": lambda: maps(images) and None}
    shown = {name: one for name, one in necks(spec).items() if name.split(" ")[0] in ("fpn", "bifpn")}
    for name, one in shown.items():
        steps[f"alone {name}"] = step_of(one, "backbone")
        steps[f"behind {name}"] = step_of(one, "backbone", maps(images))
    times = measured(steps, rounds)
    return {
        f"{name}, steps": {
            "alone": 8 * times[f"alone {name}"],
            "together": times["trunk"] + 8 * times[f"behind {name}"],
        }
        for name in shown
    }


def run_eight(*, together: bool) -> dict[str, object]:
    """Train the eight on digits, and return processor seconds, peak memory and what must be equal."""
    data = open_data("digits", select=0.05)
    recipe = Recipe(epochs=3, batch=BATCH, freeze="backbone")
    classes, spec = len(data.train.categories), resolve_spec(SPEC)
    with tempfile.TemporaryDirectory() as folder:
        tasks = [
            Task(
                spec=replace(one, classes=classes),
                recipe=recipe,
                seed=0,
                to_epoch=3,
                folder=Path(folder) / name,
                images=0.1,
            )
            for name, one in necks(spec).items()
        ]
        open_pixels(data.train, spec.size, Path(folder))
        start = time.process_time()
        groups = [tasks] if together else [[task] for task in tasks]
        outcomes = [one for group in groups for one in run_tasks(group, data, cache=Path(folder))]
        seconds = time.process_time() - start
    rows = [[one.curve, one.losses] for one in outcomes if isinstance(one, Outcome)]
    assert len(rows) == len(tasks), "every training is complete"
    peak = max(one.peak_memory for one in outcomes if isinstance(one, Outcome))
    return {"seconds": seconds, "peak": peak, "rows": rows}


def _run(kind: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--run", kind]
    found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


if __name__ == "__main__":
    main()
