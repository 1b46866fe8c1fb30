"""Trains one detector by one recipe with several seeds, and prints a row of the table in docs/recipe.md.

    python benchmarks/try_recipe.py --data digits --backbone test_byobnet --size 128 --set epochs=8 --set ema=0.99

Scores on the split cut from train; on val only with --on val. The last columns: AP and AP50 (mean), each seed's AP,
its standard deviation over seeds, seconds and CPU seconds a run.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import yaml

from scalesearch.arch.backbone import parse
from scalesearch.arch.networks import TOPOLOGIES
from scalesearch.arch.spec import Anchors, DetectorSpec
from scalesearch.cost.price import price
from scalesearch.data.pixels import open_pixels
from scalesearch.data.sets import Data, open_data
from scalesearch.nn import heads
from scalesearch.nn.anchors import fit_anchors
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.task import Outcome, Task
from scalesearch.profile.resolve import resolve_spec
from scalesearch.training.run_task import run_task


def main() -> None:
    """Reads the command line, trains, prints."""
    args = arguments()
    torch.set_num_threads(args.threads)
    standard, heads.PRIOR = heads.PRIOR, args.prior
    data = open_data(args.data, select=args.select)
    cache = Path(args.cache)
    spec = detector(args, data, cache)
    recipe = Recipe.from_dict(dict(pair(text) for text in args.set))
    outcomes, cpu = [], time.process_time()
    for seed in args.seeds:
        with tempfile.TemporaryDirectory() as folder:
            task = Task(
                spec=spec,
                recipe=recipe,
                seed=seed,
                to_epoch=recipe.epochs,
                folder=Path(folder),
                evaluate_on=args.on,
                train_on=args.train_on,
            )
            outcomes.append(run_task(task, data, cache=cache, device="cpu"))
    print(row(args, spec, recipe, outcomes, (time.process_time() - cpu) / len(outcomes), standard), flush=True)
    if args.verbose:
        show(outcomes[-1])


def show(outcome: Outcome) -> None:
    """Prints what one run says besides its AP."""
    numbers = outcome.curve[-1][1] if outcome.curve else {}
    print({name: round(value, 3) for name, value in numbers.items() if value is not None})
    print({name: round(value, 3) for name, value in outcome.per_class.items() if value is not None})
    print(*outcome.notes, outcome.reason, f"{outcome.images_per_second:.0f} images/s", sep="\n", flush=True)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", help="digits, or a COCO folder")
    parser.add_argument("--select", type=float, default=0.2)
    parser.add_argument("--on", default="select", choices=("select", "val"))
    parser.add_argument("--train-on", default="train", choices=("train", "train+select"))
    parser.add_argument("--backbone", default="mobilenetv3_small_050")
    parser.add_argument("--size", type=int, nargs="+", default=[128], help="H W, or one side")
    parser.add_argument("--topology", default="bifpn", choices=tuple(TOPOLOGIES))
    parser.add_argument("--levels", type=int, nargs=2, default=(3, 6))
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--head-depth", type=int, default=1)
    parser.add_argument("--spec", action="append", default=[], metavar="FIELD=VALUE", help="another field of the spec")
    parser.add_argument("--anchors", default="auto", help="auto, published, or SCALE[,OCTAVES]")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="a field of the recipe")
    parser.add_argument("--prior", type=float, default=heads.PRIOR, help="score of each class at the start")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", default=str(Path(tempfile.gettempdir()) / "scalesearch-try"))
    parser.add_argument("--verbose", action="store_true")
    return parser.parse_args()


def pair(text: str) -> tuple[str, Any]:
    """`name=value`, the value read as YAML."""
    name, _, value = text.partition("=")
    return name, yaml.safe_load(value)


def detector(args: argparse.Namespace, data: Data, cache: Path) -> DetectorSpec:
    """The spec of the command line, its anchors fitted to the training boxes where they are auto."""
    height, width = (args.size * 2)[:2]
    fields: dict[str, Any] = {"padding": "symmetric", "bias_before_norm": False, "laterals": "level"}
    fields |= dict(pair(text) for text in args.spec)
    spec = DetectorSpec(
        size=(height, width),
        classes=len(data.train.categories),
        backbone=parse(args.backbone),
        topology=TOPOLOGIES[args.topology](args.levels[0], args.levels[1], "fast"),
        repeats=args.repeats,
        width=args.width,
        head_width=args.width,
        head_depth=args.head_depth,
        **fields,
    )
    spec = resolve_spec(spec)
    if args.anchors == "published":
        return spec
    if args.anchors != "auto":
        scale, _, octaves = args.anchors.partition(",")
        return dataclasses.replace(spec, anchors=Anchors(scale=float(scale), octaves=int(octaves or 3)))
    pixels = open_pixels(data.train, spec.size, cache)
    boxes = torch.cat([torch.from_numpy(boxes) for boxes in pixels.boxes])
    labels = torch.cat([torch.from_numpy(labels) for labels in pixels.labels])
    return dataclasses.replace(spec, anchors=fit_anchors(boxes, labels, spec))


def row(
    args: argparse.Namespace, spec: DetectorSpec, recipe: Recipe, outcomes: list[Outcome], cpu: float, prior: float
) -> str:
    """A row of the table."""
    finals = [outcome.curve[-1][1] if outcome.curve else {} for outcome in outcomes]
    aps = [final.get("ap") or 0.0 for final in finals]
    spread = statistics.stdev(aps) if len(aps) > 1 else 0.0
    shape = f"{args.backbone} {spec.size[0]}x{spec.size[1]} {args.topology} {args.levels[0]}-{args.levels[1]}"
    shape += f" w{args.width} r{args.repeats} h{args.head_depth} a{spec.anchors.scale:g}x{spec.anchors.octaves}"
    shape += "w " if spec.anchors.aspects != Anchors().aspects else " "
    shape += " ".join(args.spec)
    changed = json.dumps(recipe.to_dict()).replace('"', "")[1:-1] or "defaults"
    changed += f", prior {args.prior:g}" if args.prior != prior else ""
    cells = [
        Path(args.data).name,
        shape.strip(),
        f"{price(spec).macs / 1e6:.1f}",
        changed,
        f"{statistics.mean(aps):.3f}",
        f"{statistics.mean(final.get('ap50') or 0.0 for final in finals):.3f}",
        " ".join(f"{ap:.3f}" for ap in aps),
        f"{spread:.3f}",
        f"{statistics.mean(outcome.seconds for outcome in outcomes):.0f}",
        f"{cpu:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
