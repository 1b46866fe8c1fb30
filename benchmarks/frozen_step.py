"""A training step with frozen stages against one of the whole detector: time and memory.

    python benchmarks/frozen_step.py [--rounds 9] [--out results/benchmarks/frozen_step.md]

EfficientNet-Lite0 at 256x256, BiFPN of width 64, two cells, heads of two convolutions, one thread, batch 8. A step is
labelling, forward, loss, backward, clipping, the optimiser's step and the average of weights, of images that lie in memory.
Each variant has its turn in each round; times are medians of processor time, which other work on the machine moves less
than the clock. Kept for backward is what saved-tensor hooks see; the peak is of a process of its own that does three steps,
less what it held before the detector was built. Two minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from scalesearch.arch.backbone import TimmBackbone
from scalesearch.arch.networks import bifpn
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.memory import TrainingSettings, training_memory
from scalesearch.cost.price import price
from scalesearch.nn.allocator import keep_freed_memory
from scalesearch.nn.anchors import anchor_boxes
from scalesearch.nn.detector import Detector, build
from scalesearch.nn.frozen import frozen_names, set_frozen, train_unfrozen
from scalesearch.nn.losses import assign
from scalesearch.plan.recipe import Recipe
from scalesearch.profile.environment import machine
from scalesearch.profile.memory_trace import kept_bytes
from scalesearch.profile.resolve import resolve_spec
from scalesearch.training.ema import Average
from scalesearch.training.loop import losses
from scalesearch.training.optimizer import make_optimizer, set_rate
from scalesearch.training.peak_memory import PeakMemory

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
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.peak:
        print(json.dumps(peak(args.peak)))
        return
    keep_freed_memory()  # as every training does
    spec = resolve_spec(SPEC)
    times = measured({freeze: step_of(spec, freeze) for freeze in FREEZES}, args.rounds)
    text = table(spec, times, args.rounds)
    print(text, end="")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(text)


def detector_of(spec: DetectorSpec, freeze: str) -> Detector:
    """Return the detector as a training holds it."""
    detector = build(spec).to(memory_format=torch.channels_last)
    set_frozen(detector, frozen_names(detector, freeze))
    train_unfrozen(detector)
    return detector


def step_of(spec: DetectorSpec, freeze: str) -> Callable[[], None]:
    """Return a function that does a step."""
    torch.manual_seed(0)
    detector, recipe = detector_of(spec, freeze), Recipe()
    optimizer, average = make_optimizer(detector, recipe), Average(detector, recipe.ema)
    images = torch.randn(BATCH, 3, *spec.size).to(memory_format=torch.channels_last)
    boxes = torch.tensor([[[20.0, 30.0, 90.0, 100.0], [100.0, 100.0, 160.0, 170.0]]] * BATCH)
    labels, anchors = torch.tensor([[0, 1]] * BATCH), anchor_boxes(spec, CPU)

    def step() -> None:
        targets = assign(anchors, boxes, labels, iou=recipe.match_iou, best=recipe.match_best)
        loss = losses(detector(images), targets, recipe).total
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
        + f"\n\n`python benchmarks/frozen_step.py --rounds {rounds}`\n"
    )


if __name__ == "__main__":
    main()
