"""Images a second of a training against those of the bare network step: what the loader and the loop cost a proxy run.

    python benchmarks/throughput.py [--bccd path/to/bccd] [--out results/benchmarks/throughput.md]

The candidates are those of results/quickstart (digits) and results/topology (bccd; left out without --bccd): the cheapest
and the dearest of each. The bare step is forward, labelling, loss, backward and the optimiser's step on one
batch of normalised images that lies in memory. The training is `Training.train_epoch`, with all that it does beside
(batches cut from the decoded cache, flip and jitter, normalising, schedule, clipping, the check that the loss is finite,
the average of weights), with its batches made between the steps, or ahead by a thread. Medians over rounds in which each
has its turn; ratios are of medians. Under five minutes on one thread.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from statistics import median

import torch
from rich.progress import track

from scalesearch.arch.spec import DetectorSpec, from_dict
from scalesearch.data.decoded_file import decoded_folder
from scalesearch.data.pixels import Pixels, open_pixels
from scalesearch.data.sets import open_data
from scalesearch.nn.allocator import keep_freed_memory
from scalesearch.nn.anchors import anchor_boxes
from scalesearch.nn.detector import build
from scalesearch.nn.losses import assign
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.task import Task
from scalesearch.profile.environment import machine
from scalesearch.profile.resolve import resolve_spec
from scalesearch.training import loader as feed
from scalesearch.training.loop import Training, losses
from scalesearch.training.optimizer import make_optimizer

STUDIES = {"digits": Path("results/quickstart"), "bccd": Path("results/topology")}
COLOUR = (0.4, 0.4, 0.4, 0.1)
LIMIT = 0.85
CPU = torch.device("cpu")


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bccd", type=Path, help="the COCO folder of bccd")
    parser.add_argument("--candidates", type=int, default=2, help="of each study")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10, help="in a turn")
    parser.add_argument("--threads", type=int, default=1, help="torch's; a study with as many workers as cores has 1")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/throughput.md"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    keep_freed_memory()  # as every training does: for both sides
    found = []
    for data, study in STUDIES.items():
        if data == "bccd" and args.bccd is None:
            print("bccd is left out: say where it is with --bccd")
            continue
        for spec in specs(study, args.candidates):
            pixels = part(data if data == "digits" else args.bccd, spec, args.steps * Recipe().batch)
            found.append((data, spec, rates(spec, pixels, args.rounds, args.steps)))
    text = table(found, args)
    print(text, end="")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(text)


def specs(study: Path, count: int) -> list[DetectorSpec]:
    """`count` of the study's candidates, evenly spaced by cost."""
    rows = [json.loads(line) for line in (study / "results.jsonl").read_text().splitlines()]
    by_cost = sorted({row["spec_id"]: row for row in rows if row["kind"] == "search"}.values(), key=_macs)
    places = [round(i * (len(by_cost) - 1) / max(1, count - 1)) for i in range(count)]
    return [resolve_spec(from_dict(by_cost[place]["spec"])) for place in places]


def _macs(row: dict[str, dict[str, int]]) -> int:
    return row["cost"]["macs"]


def part(source: str | Path, spec: DetectorSpec, count: int) -> Pixels:
    """The first `count` training images at the spec's size, from the decoded cache."""
    pixels = open_pixels(open_data(source).train, spec.size, decoded_folder())
    split = dataclasses.replace(pixels.split, images=pixels.split.images[:count])
    array = pixels.array[:count]  # type: ignore[misc, index]
    parts = {name: getattr(pixels, name)[:count] for name in ("scales", "boxes", "labels")}
    return Pixels(split=split, array=array, **parts)


def rates(spec: DetectorSpec, pixels: Pixels, rounds: int, steps: int) -> dict[str, float]:
    """Images a second of each, and (in %) the share of time that the loop waited for its batches."""
    plain, coloured = Recipe(epochs=1000), Recipe(epochs=1000, colour=COLOUR)
    calls: dict[str, Callable[[], int]] = {"bare": bare(spec, pixels, plain, steps)}
    with tempfile.TemporaryDirectory() as folder:
        for what, recipe in (("training", plain), ("with colour", coloured)):
            for ahead in (False, True):
                task = Task(spec=spec, recipe=recipe, seed=0, to_epoch=1000, folder=Path(folder))
                calls[f"{what}{', ahead' if ahead else ''}"] = epoch(Training(task, pixels, CPU), ahead)
    times: dict[str, list[float]] = {what: [] for what in calls}
    for round_ in track(range(-1, rounds), f"{spec.id} {spec.size[0]}x{spec.size[1]}"):
        for what, call in calls.items():
            start = time.perf_counter()
            images = call()
            if round_ >= 0:  # the first warms up
                times[what].append((time.perf_counter() - start) / images)
    return {what: 1 / median(seconds) for what, seconds in times.items()}


def bare(spec: DetectorSpec, pixels: Pixels, recipe: Recipe, steps: int) -> Callable[[], int]:
    """Some steps of the network on one batch of the data's own, which lies in memory."""
    model = build(spec).train().to(memory_format=torch.channels_last)
    anchors, optimizer = anchor_boxes(spec), make_optimizer(model, recipe)
    for group in optimizer.param_groups:
        group["lr"] = 1e-4
    ready = next(feed.prepared(pixels, recipe, seed=0, epoch=0, device=CPU))

    def run() -> int:
        for _ in range(steps):
            targets = assign(anchors, ready.boxes, ready.labels, iou=recipe.match_iou, best=recipe.match_best)
            optimizer.zero_grad()
            losses(model(ready.images), targets, recipe).total.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return steps * recipe.batch

    return run


def epoch(training: Training, ahead: bool) -> Callable[[], int]:
    """An epoch of a training, its batches made ahead by a thread or between the steps."""

    def run() -> int:
        standard, feed.spare_core = feed.spare_core, lambda: ahead
        training.train_epoch()
        feed.spare_core = standard
        return training.steps_per_epoch * training.recipe.batch

    return run


def table(found: list[tuple[str, DetectorSpec, dict[str, float]]], args: argparse.Namespace) -> str:
    """The page."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "torchvision", "timm"))
    lines = [
        "# What the loader and the loop cost a proxy run",
        "",
        "Images a second in training with flip and jitter, and as a share of the bare network step's (forward, labelling,",
        f"loss, backward, optimiser's step on one batch in memory); asked: at least {LIMIT}. Colour (brightness, contrast,",
        f"saturation, hue {list(COLOUR)}) apart. Batches are made between the steps, or ahead by a thread, which is what a",
        "training does where the process may use more cores than torch has threads: a core must then be idle.",
        "",
        f"`python benchmarks/throughput.py --bccd BCCD --threads {args.threads} --rounds {args.rounds} --steps {args.steps}`:",
        "one interleaved run, ratios of medians. Recipe: the defaults (batch 8) but for colour.",
        "",
        f"Machine: {machine()['cpu']}, {machine()['cores']} cores, {machine()['system']}, {args.threads} thread(s).",
        f"Python {platform.python_version()}, {versions}.",
        "",
        "| data | candidate | bare | training | of bare | ahead | of bare | with colour | of bare | ahead | of bare |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for data, spec, rate in found:
        others = [
            f"{rate[what]:.0f} | {rate[what] / rate['bare']:.2f}"
            for what in ("training", "training, ahead", "with colour", "with colour, ahead")
        ]
        shape = f"{spec.id} {spec.size[0]}x{spec.size[1]} w{spec.width} r{spec.repeats}"
        lines.append(f"| {data} | {shape} | {rate['bare']:.0f} | " + " | ".join(others) + " |")
    least = {w: min(r[w] / r["bare"] for _, _, r in found) for w in ("training", "training, ahead")}
    lines += ["", f"Least: {least['training']:.2f} between the steps, {least['training, ahead']:.2f} ahead."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
