"""Every check that wants a GPU, in one call; writes results/gpu/. Ends at once, and says so, where there is none.

    python benchmarks/gpu.py [--out results/gpu] [--rounds 30] [--batch 32]

1. The D0 training step at 512 beside effdet 0.4.1's: images a second in fp32, in mixed precision, channels last,
   compiled (steps.md). Asked: at least 2 times effdet's eager fp32 step and 1.3 times its best.
2. The whole training of D0 at 512 in bf16, with its loader: images a second (steps.md has the bare step's), and the share of
   its time that it waited for batches (loop.md). Asked: the loader is not the limit.
3. The other scripts that use a GPU where there is one: memory, latency.
4. The tests that skip without CUDA.

A part that fails is reported at the end, and the others run. Needs the extras test and onnx; takes about 15 minutes.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from effdet_speed import BOXES, NAME
from peer import peer_model, peer_spec
from torch import Tensor

from scalesearch.arch.scaling import named
from scalesearch.arch.spec import DetectorSpec
from scalesearch.data.pixels import Pixels, open_pixels
from scalesearch.data.sets import open_data
from scalesearch.nn.anchors import anchor_boxes
from scalesearch.nn.detector import build
from scalesearch.nn.losses import assign, detection_loss
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.task import Task
from scalesearch.profile.environment import machine, versions
from scalesearch.training.loop import Training

HERE = Path(__file__).parent
SIZE = 512


def main() -> None:
    """Run all parts; exit 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/gpu"))
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--batch", type=int, default=32)
    args = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("these checks need a CUDA device, and torch finds none here")
    warnings.simplefilter("ignore")
    args.out.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Callable[[], None]] = {
        "steps": lambda: steps(args.out / "steps.md", args.batch, args.rounds),
        "loop": lambda: loop(args.out / "loop.md", args.batch),
    }
    for name, command in commands(args.out).items():
        parts[name] = lambda name=name, command=command: run(args.out / f"{name}.log", command)  # type: ignore[misc]
    failed = []
    for name, part in parts.items():
        start = time.perf_counter()
        try:
            part()
        except Exception:  # noqa: BLE001  a machine with a GPU is rarely at hand: the other parts are to run
            traceback.print_exc()
            failed.append(name)
        print(f"{name}: {'FAILED' if name in failed else 'done'} after {time.perf_counter() - start:.0f} s", flush=True)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


def commands(out: Path) -> dict[str, list[str]]:
    """The scripts and tests that run on CUDA by themselves."""
    scripts = {
        "memory": ["check_memory.py", "--out", str(out / "memory.txt")],
        "latency": ["check_latency.py", "--device", "cuda", "--out", str(out / "latency.txt")],
    }
    found = {name: [sys.executable, str(HERE / script), *rest] for name, (script, *rest) in scripts.items()}
    return {**found, "tests": [sys.executable, "-m", "pytest", "-q", "-rs", "-k", "cuda or gpu"]}


def run(log: Path, command: list[str]) -> None:
    """A command in a process of its own, its output in `log`."""
    with log.open("w") as file:
        subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=True, timeout=900)


def steps(out: Path, batch: int, rounds: int) -> None:
    """Images a second of the training step, ours and effdet's, every candidate once in each round."""
    candidates = {
        "effdet, fp32": (theirs, False, None),
        "effdet, fp32, channels last": (theirs, True, None),
        "effdet, bf16, channels last": (theirs, True, torch.bfloat16),
        "effdet, fp16, channels last": (theirs, True, torch.float16),
        "ours, fp32": (ours, True, None),
        "ours, bf16": (ours, True, torch.bfloat16),
        "ours, bf16, compiled": (compiled, True, torch.bfloat16),
    }
    calls = {who: make(batch, last, precision) for who, (make, last, precision) in candidates.items()}
    times: dict[str, list[float]] = {who: [] for who in calls}
    for round_ in range(-3, rounds):
        for who, call in calls.items():
            torch.cuda.synchronize()
            start = time.perf_counter()
            call()
            torch.cuda.synchronize()
            if round_ >= 0:
                times[who].append(time.perf_counter() - start)
    speed = {who: batch / median(seconds) for who, seconds in times.items()}
    best = max(value for who, value in speed.items() if who.startswith("effdet"))
    lines = [
        f"# The D0 training step at {SIZE}, batch {batch}",
        "",
        f"`python benchmarks/gpu.py`, {rounds} interleaved rounds, medians. Labelling, loss and backward inside.",
        "",
        f"Machine: {', '.join(machine().values())}. " + ", ".join(f"{k} {v}" for k, v in versions().items()) + ".",
        "",
        "| who | images a second | of effdet's fp32 | of effdet's best |",
        "| --- | ---: | ---: | ---: |",
        *(f"| {who} | {v:.0f} | {v / speed['effdet, fp32']:.2f} | {v / best:.2f} |" for who, v in speed.items()),
    ]
    out.write_text("\n".join(lines) + "\n")
    print(out.read_text(), flush=True)


def loop(out: Path, batch: int) -> None:
    """The training loop on digits, plain, and with what is dear for a loader or makes the step quicker."""
    device, spec = torch.device("cuda"), named("d0")
    digits = open_data("digits").train
    spec = dataclasses.replace(spec, size=(SIZE, SIZE), classes=len(digits.categories))
    pixels = open_pixels(digits, spec.size)
    plain = Recipe(epochs=1000, batch=batch, precision="bf16")
    recipes = {"flip and jitter": plain, "colour too": dataclasses.replace(plain, colour=(0.4, 0.4, 0.4, 0.1))}
    recipes["mosaic and mixup too"] = dataclasses.replace(recipes["colour too"], mosaic=0.5, mixup=0.3)
    recipes["compiled"] = dataclasses.replace(plain, compile=True)
    lines = [
        f"# The training loop of D0 at {SIZE}, bf16, batch {batch}, with its loader",
        "",
        "`python benchmarks/gpu.py`, the second epoch of digits (decoded in memory) by `Training.train_epoch`.",
        "",
        f"Machine: {', '.join(machine().values())}. " + ", ".join(f"{k} {v}" for k, v in versions().items()) + ".",
        "",
        "| recipe | images a second | of its time waiting for batches |",
        "| --- | ---: | ---: |",
    ]
    for name, recipe in recipes.items():
        speed, waited = second_epoch(spec, recipe, pixels, device)
        lines.append(f"| {name} | {speed:.0f} | {waited:.1%} |")
    out.write_text("\n".join(lines) + "\n")
    print(out.read_text(), flush=True)


def second_epoch(spec: DetectorSpec, recipe: Recipe, pixels: Pixels, device: torch.device) -> tuple[float, float]:
    """Images a second, and the share of the time that the loop waited for batches; the first epoch warms up."""
    with tempfile.TemporaryDirectory() as folder:
        task = Task(spec=spec, recipe=recipe, seed=0, to_epoch=recipe.epochs, folder=Path(folder))
        training = Training(task, pixels, device)
    training.train_epoch()
    seconds, waited = training.seconds, training.waited
    training.train_epoch()
    return training.logged["images_per_second"], (training.waited - waited) / (training.seconds - seconds)


def data(batch: int, last: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Random images [B, 3, H, W] and boxes on the GPU."""
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(batch, BOXES, 2, generator=generator) * SIZE * 0.7
    sides = (0.05 + 0.25 * torch.rand(batch, BOXES, 2, generator=generator)) * SIZE
    labels = torch.randint(0, 90, (batch, BOXES), generator=generator).cuda()
    images = torch.randn(batch, 3, SIZE, SIZE, generator=generator).cuda()
    if last:
        images = images.contiguous(memory_format=torch.channels_last)
    return images, torch.cat([corner, corner + sides], 2).cuda(), labels


def theirs(batch: int, last: bool, precision: torch.dtype | None) -> Callable[[], None]:
    """effdet's step by its own loss and labeler."""
    from effdet import DetBenchTrain

    spec = peer_spec(NAME)
    bench = DetBenchTrain(peer_model(NAME, spec, seed=None), create_labeler=True).train().cuda()
    if last:
        bench = bench.to(memory_format=torch.channels_last)
    images, boxes, labels = data(batch, last)
    target = {"bbox": boxes[..., [1, 0, 3, 2]], "cls": labels + 1}

    def loss() -> Tensor:
        with mixed(precision):
            return bench(images, target)["loss"]

    return stepped(bench, loss, precision)


def ours(batch: int, last: bool, precision: torch.dtype | None, *, compile_: bool = False) -> Callable[[], None]:
    """Our step, as training/loop.py takes it."""
    spec = peer_spec(NAME)
    model = build(spec).train().cuda().to(memory_format=torch.channels_last)
    forward = torch.compile(model) if compile_ else model
    images, boxes, labels = data(batch, last)
    anchors = anchor_boxes(spec, torch.device("cuda"))

    def loss() -> Tensor:
        with mixed(precision):
            outputs = forward(images)
        return detection_loss(outputs, assign(anchors, boxes, labels)).total

    return stepped(model, loss, precision)


def compiled(batch: int, last: bool, precision: torch.dtype | None) -> Callable[[], None]:
    """Our step with the network through torch.compile."""
    return ours(batch, last, precision, compile_=True)


def stepped(model: torch.nn.Module, loss: Callable[[], Tensor], precision: torch.dtype | None) -> Callable[[], None]:
    """Loss and backward; fp16 with the usual scale, so that gradients do not vanish."""

    def step() -> None:
        model.zero_grad()
        (loss() * (2**10 if precision is torch.float16 else 1)).backward()  # type: ignore[no-untyped-call]

    return step


def mixed(precision: torch.dtype | None) -> torch.autocast:
    """Around the forward pass; nothing in full precision."""
    return torch.autocast("cuda", dtype=precision, enabled=precision is not None)


if __name__ == "__main__":
    main()
