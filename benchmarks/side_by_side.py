"""The same detector on the same data, trained by us and by effdet 0.4.1, an epoch of each in turn: accuracy and wall time.

    python benchmarks/side_by_side.py path/to/bccd [--epochs 50] [--out results/benchmarks/side_by_side.md]

Both are MobileNetV3-small 0.5, BiFPN of width 64 and 2 cells, heads of 3 convolutions, 256 px, with equal shapes of all
weights. Both see the same batches of 16 (flip and jitter, from one decoded cache, at no cost to either) in the same order,
AdamW with the same schedule, weight decay on kernels, clipping and average of weights. What differs is ours and theirs:
ours has the scale of the anchors fitted to the training boxes and batch-norm statistics re-estimated before the evaluation,
and is `Training` as it is; theirs is effdet's model, its `DetBenchTrain` with its anchors, labeller and loss, its
`DetBenchPredict`. Both are scored by the same COCO code on val. Without the folder nothing is done. Needs the extra test.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import platform
import tempfile
import time
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from peer import peer_spec
from rich.progress import track
from torch import nn

from scalesearch.arch.backbone import parse
from scalesearch.arch.spec import Anchors, DetectorSpec
from scalesearch.data.augment import normalise
from scalesearch.data.decoded_file import decoded_folder
from scalesearch.data.pixels import Pixels, eval_batches, open_pixels, split_targets
from scalesearch.data.sets import Data, open_data
from scalesearch.data.split import ground_truth
from scalesearch.nn.anchors import fit_anchors
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.task import Task
from scalesearch.profile.environment import machine
from scalesearch.profile.resolve import resolve_spec
from scalesearch.training.coco_metrics import Evaluation, coco_numbers
from scalesearch.training.ema import Average
from scalesearch.training.evaluation import evaluate, refresh_norms
from scalesearch.training.loader import Ready, fed, prepared
from scalesearch.training.loop import Training
from scalesearch.training.optimizer import learning_rate, make_optimizer

CPU = torch.device("cpu")
SIDE, BATCH = 256, 16
MOST = 0.6


def main() -> None:
    """Train, evaluate, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="the COCO folder of bccd")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--rate", type=float, default=Recipe().learning_rate, help="learning rate of ours")
    parser.add_argument("--peer-rate", type=float, default=Recipe().learning_rate, help="learning rate of effdet's")
    parser.add_argument("--threads", type=int, help="torch's; its own number by default")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/side_by_side.md"))
    args = parser.parse_args()
    if args.data is None or not args.data.is_dir():
        print("nothing was compared: say where bccd's COCO folder is")
        return
    warnings.simplefilter("ignore")
    if args.threads:
        torch.set_num_threads(args.threads)
    text = compared(open_data(args.data, select="val"), args)
    print(text, end="")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(text)


def specs(data: Data) -> tuple[DetectorSpec, DetectorSpec]:
    """Ours, and the one that says what effdet builds: the same but for the scale of the anchors."""
    theirs = resolve_spec(
        peer_spec(
            "efficientdet_d0",
            size=(SIDE, SIDE),
            classes=len(data.train.categories),
            backbone=parse("mobilenetv3_small_050"),
            width=64,
            head_width=64,
            repeats=2,
        )
    )
    scale = fit_anchors(*split_targets(data.train, theirs.size), theirs).scale
    return dataclasses.replace(theirs, anchors=Anchors(scale=scale)), theirs


class Peer:
    """effdet's training, with the epochs, batches and optimiser of ours."""

    def __init__(self, spec: DetectorSpec, recipe: Recipe, pixels: Pixels) -> None:
        from effdet import DetBenchTrain, get_efficientdet_config
        from effdet.efficientdet import EfficientDet

        config = get_efficientdet_config("efficientdet_d0")
        config.backbone_name, config.backbone_args = "mobilenetv3_small_050", {}
        config.image_size, config.num_classes = spec.size, spec.classes
        config.fpn_channels, config.fpn_cell_repeats, config.box_class_repeats = 64, 2, spec.head_depth
        torch.manual_seed(0)
        self.bench = DetBenchTrain(EfficientDet(config, pretrained_backbone=False), create_labeler=True)
        self.recipe, self.pixels = recipe, pixels
        self.optimizer = make_optimizer(self.bench.model, recipe)
        self.average = Average(self.bench.model, recipe.ema)
        self.seconds, self.step = 0.0, 0

    def train_epoch(self, epoch: int) -> None:
        """One pass over the batches that ours has in this epoch."""
        start, steps = time.perf_counter(), self.recipe.epochs * (len(self.pixels) // BATCH)
        self.bench.train()
        for ready in fed(prepared(self.pixels, self.recipe, seed=0, epoch=epoch, device=CPU), CPU):
            loss = self.bench(ready.images.contiguous(), _target(ready))["loss"]
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.bench.model.parameters(), self.recipe.clip)
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(self.recipe, self.step, steps)
            self.optimizer.step()
            self.step += 1
            self.average.update(self.step)
        self.seconds += time.perf_counter() - start

    def evaluated(self, pixels: Pixels, *, refreshed: bool) -> Evaluation:
        """Its averaged weights by its own prediction; `refreshed`: with batch-norm statistics re-estimated as ours."""
        from effdet import DetBenchPredict

        model = copy.deepcopy(self.average.model)
        if refreshed:
            batches = prepared(self.pixels, self.recipe, seed=0, epoch=self.recipe.epochs, device=CPU)
            refresh_norms([model], (ready.images for ready in batches))
        bench, results, split = DetBenchPredict(model).eval(), list[dict[str, Any]](), pixels.split
        with torch.no_grad():
            for batch in eval_batches(pixels, BATCH):
                found = bench(normalise(batch.images).contiguous())
                for position, rows in zip(batch.index.tolist(), found, strict=True):
                    image, scale = split.images[position], float(pixels.scales[position])
                    boxes = (rows[:, :4] / scale).clamp(min=0).minimum(torch.tensor([image.width, image.height] * 2))
                    boxes[:, 2:] -= boxes[:, :2]
                    results += [
                        {"image_id": image.id, "category_id": split.categories[int(label) - 1].id}
                        | {"bbox": box, "score": s}
                        for box, s, label in zip(boxes.tolist(), rows[:, 4].tolist(), rows[:, 5].tolist(), strict=True)
                        if label >= 1
                    ]
        return coco_numbers(ground_truth(split), results)


def _target(ready: Ready) -> dict[str, torch.Tensor]:
    """effdet's form: yxyx, classes from 1, -1 for none."""
    return {"bbox": ready.boxes[..., [1, 0, 3, 2]], "cls": torch.where(ready.labels >= 0, ready.labels + 1, -1)}


def compared(data: Data, args: argparse.Namespace) -> str:
    """Trains both, and says what came out."""
    mine, theirs = specs(data)
    recipe = Recipe(epochs=args.epochs, batch=BATCH, learning_rate=args.rate)
    pixels, val = (open_pixels(split, mine.size, decoded_folder()) for split in (data.train, data.val))
    peer = Peer(theirs, dataclasses.replace(recipe, learning_rate=args.peer_rate), pixels)
    with tempfile.TemporaryDirectory() as folder:
        ours = Training(Task(spec=mine, recipe=recipe, seed=0, to_epoch=args.epochs, folder=Path(folder)), pixels, CPU)
    shapes = [sorted(tuple(p.shape) for p in model.parameters()) for model in (ours.model, peer.bench.model)]
    assert shapes[0] == shapes[1], "both sides must be of one shape"
    for epoch in track(range(args.epochs), "epochs of both"):
        ours.train_epoch()
        peer.train_epoch(epoch)
    found = {
        "effdet": (peer.evaluated(val, refreshed=False), peer.seconds),
        "effdet, its statistics re-estimated as ours": (peer.evaluated(val, refreshed=True), peer.seconds),
        "ours": (evaluate([ours.evaluated()], [ours.anchors], val)[0], ours.seconds),
    }
    params = sum(p.numel() for p in ours.model.parameters())
    return table(found, args, ours.steps_per_epoch * args.epochs, params, mine.anchors.scale)


def table(
    found: dict[str, tuple[Evaluation, float]], args: argparse.Namespace, steps: int, params: int, scale: float
) -> str:
    """The page."""
    names = ("ap", "ap50", "ap75", "ap_medium", "ap_large")
    rates = "" if args.rate == args.peer_rate else f" (effdet's: {args.peer_rate:g})"
    lines = [
        "# The same detector trained by effdet and by us",
        "",
        f"MobileNetV3-small 0.5, BiFPN, width 64, 2 cells, heads of 3, {SIDE} px: {params / 1e6:.3f} M parameters in equal",
        f"shapes. {args.data.name}, {steps} steps of {BATCH}, the same batches, AdamW at {args.rate:g}{rates}, one run of",
        f"each, epoch about; val. Ours has anchors of scale {scale:g} (fitted to train) for the published 4. Asked: ours at",
        f"least as accurate in at most {MOST} of the wall time (of training, evaluation left out).",
        "",
        f"`python benchmarks/side_by_side.py {args.data.name} --epochs {args.epochs}"
        + (f" --rate {args.rate:g} --peer-rate {args.peer_rate:g}`" if rates else "`"),
        f"Machine: {machine()['cpu']}, {machine()['cores']} cores, {machine()['system']}, {torch.get_num_threads()} "
        + f"threads. Python {platform.python_version()}, "
        + ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "timm", "effdet"))
        + ".",
        "",
        f"| who | {' | '.join(names)} | seconds | of effdet's |",
        f"| --- | {' | '.join(['---:'] * (len(names) + 2))} |",
    ]
    first = found["effdet"][1]
    for who, (evaluation, seconds) in found.items():
        values = [evaluation.numbers[name] for name in names]
        cells = " | ".join("" if value is None else f"{value:.3f}" for value in values)
        lines.append(f"| {who} | {cells} | {seconds:.0f} | {seconds / first:.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
