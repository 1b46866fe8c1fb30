"""The parts of gpu.py that time: the training step beside effdet's, the loop with its loader, latency by CUDA events."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import torch
from effdet_speed import BOXES, NAME
from gpu_checks import few
from peer import peer_model, peer_spec
from torch import Tensor

from scalesearch.arch.scaling import named
from scalesearch.data.pixels import open_pixels
from scalesearch.data.sets import open_data
from scalesearch.nn.anchors import anchor_boxes
from scalesearch.nn.detector import build
from scalesearch.nn.losses import assign, detection_loss
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.task import Task
from scalesearch.profile.latency_benchmark import measure_latency
from scalesearch.profile.latency_setting import setting_of
from scalesearch.training.loop import Training


def effdet(place: str) -> Iterator[str]:
    """The D0 training step beside effdet's: labelling, loss and backward, interleaved rounds."""
    device = torch.device(place)
    cpu = device.type == "cpu"
    side, batch, rounds = (128, 2, 1) if cpu else (512, 32, 15)
    calls = candidates(device, side, batch)
    times: dict[str, list[float]] = {who: [] for who in calls}
    for round_ in range(-1 if cpu else -3, rounds):
        for who, call in calls.items():
            start = time.perf_counter()
            call()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if round_ >= 0:
                times[who].append(time.perf_counter() - start)
    speed = {who: batch / median(seconds) for who, seconds in times.items()}
    best = max(value for who, value in speed.items() if who.startswith("effdet"))
    yield f"Size {side}, batch {batch}, medians of {rounds} rounds."
    yield ""
    yield "| who | images a second | of effdet's fp32 | of effdet's best |"
    yield "| --- | ---: | ---: | ---: |"
    yield from (f"| {who} | {v:.1f} | {v / speed['effdet, fp32']:.2f} | {v / best:.2f} |" for who, v in speed.items())


def loop(place: str) -> Iterator[str]:
    """The training loop with its loader: images a second, and the share of the time that it waited for batches."""
    device = torch.device(place)
    cpu = device.type == "cpu"
    digits = few(open_data("digits"), 16 if cpu else 10_000).train
    side, batch = (64, 4) if cpu else (512, 32)
    spec = dataclasses.replace(named("d0", size=(side, side)), classes=len(digits.categories))
    pixels = open_pixels(digits, spec.size)
    plain = Recipe(epochs=1000, batch=batch, precision="fp32" if cpu else "bf16")
    recipes = {"flip and jitter": plain, "colour too": dataclasses.replace(plain, colour=(0.4, 0.4, 0.4, 0.1))}
    recipes["mosaic and mixup too"] = dataclasses.replace(recipes["colour too"], mosaic=0.5, mixup=0.3)
    yield f"D0 at {side}, batch {batch}, the second epoch of {len(digits.images)} digits, decoded in memory."
    yield ""
    yield "| recipe | images a second | of its time waiting for batches |"
    yield "| --- | ---: | ---: |"
    for name, recipe in recipes.items():
        with tempfile.TemporaryDirectory() as folder:
            task = Task(spec=spec, recipe=recipe, seed=0, to_epoch=recipe.epochs, folder=Path(folder))
            training = Training(task, pixels, device)
        training.train_epoch()
        seconds, waited = training.seconds, training.waited
        training.train_epoch()
        share = (training.waited - waited) / (training.seconds - seconds)
        yield f"| {name} | {training.logged['images_per_second']:.1f} | {share:.1%} |"


def latency(place: str) -> Iterator[str]:
    """Latency by CUDA events, twice, of detectors of several costs."""
    device = torch.device(place)
    cpu = device.type == "cpu"
    yield "| detector | precision | batch | ms | 95 % interval | measured again | clock |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | --- |"
    names, precisions, batches = (
        (("lite0",), ("fp32",), (1,)) if cpu else (("lite0", "d0", "d2"), ("fp32", "fp16"), (1, 8))
    )
    for name in names:
        spec = named(name, size=(64, 64)) if cpu else named(name)
        for kind in precisions:
            for batch in batches:
                setting = setting_of(device.type, "eager", kind, None, batch)
                rounds = 5 if cpu else 30
                one, two = (measure_latency(spec, setting, rounds=rounds) for _ in range(2))
                low, high = (1e3 * end for end in one.interval)
                yield (
                    f"| {name} | {kind} | {batch} | {1e3 * one.seconds:.2f} | {low:.2f} .. {high:.2f} | "
                    f"{1e3 * two.seconds:.2f} | {one.clock} |"
                )


# ---- the step ----


@dataclasses.dataclass(frozen=True)
class Setting:
    """Where a step runs, and on what."""

    device: torch.device
    side: int
    batch: int
    last: bool = False
    """Channels last."""
    precision: torch.dtype | None = None

    def images(self) -> tuple[Tensor, Tensor, Tensor]:
        """Random images [B, 3, H, W], boxes and labels."""
        generator = torch.Generator().manual_seed(0)
        corner = torch.rand(self.batch, BOXES, 2, generator=generator) * self.side * 0.7
        sides = (0.05 + 0.25 * torch.rand(self.batch, BOXES, 2, generator=generator)) * self.side
        labels = torch.randint(0, 90, (self.batch, BOXES), generator=generator).to(self.device)
        images = torch.randn(self.batch, 3, self.side, self.side, generator=generator).to(self.device)
        if self.last:
            images = images.contiguous(memory_format=torch.channels_last)
        return images, torch.cat([corner, corner + sides], 2).to(self.device), labels

    def mixed(self) -> torch.autocast:
        """Around the forward pass; nothing in full precision."""
        return torch.autocast(self.device.type, dtype=self.precision, enabled=self.precision is not None)


def candidates(device: torch.device, side: int, batch: int) -> dict[str, Callable[[], None]]:
    """The steps by who takes them; on a CPU the plain ones."""
    plain, last = Setting(device, side, batch), Setting(device, side, batch, last=True)
    found = {"effdet, fp32": theirs(plain), "effdet, fp32, channels last": theirs(last), "ours, fp32": ours(last)}
    if device.type == "cuda":
        for name, kind in (("bf16", torch.bfloat16), ("fp16", torch.float16)):
            mixed = dataclasses.replace(last, precision=kind)
            found[f"effdet, {name}, channels last"] = theirs(mixed)
            found[f"ours, {name}"] = ours(mixed)
        found["ours, bf16, compiled"] = ours(dataclasses.replace(last, precision=torch.bfloat16), compiled=True)
    return found


def theirs(setting: Setting) -> Callable[[], None]:
    """effdet's step by its own loss and labeler."""
    from effdet import DetBenchTrain

    spec = peer_spec(NAME, size=(setting.side, setting.side))
    bench = DetBenchTrain(peer_model(NAME, spec, seed=None), create_labeler=True).train().to(setting.device)
    if setting.last:
        bench = bench.to(memory_format=torch.channels_last)
    images, boxes, labels = setting.images()
    target = {"bbox": boxes[..., [1, 0, 3, 2]], "cls": labels + 1}

    def loss() -> Tensor:
        with setting.mixed():
            return bench(images, target)["loss"]

    return stepped(bench, loss, setting.precision)


def ours(setting: Setting, *, compiled: bool = False) -> Callable[[], None]:
    """Our step, as training/loop.py takes it."""
    spec = peer_spec(NAME, size=(setting.side, setting.side))
    model = build(spec).train().to(setting.device).to(memory_format=torch.channels_last)
    forward = torch.compile(model) if compiled else model
    images, boxes, labels = setting.images()
    anchors = anchor_boxes(spec, setting.device)

    def loss() -> Tensor:
        with setting.mixed():
            outputs = forward(images)
        return detection_loss(outputs, assign(anchors, boxes, labels)).total

    return stepped(model, loss, setting.precision)


def stepped(model: torch.nn.Module, loss: Callable[[], Tensor], precision: torch.dtype | None) -> Callable[[], None]:
    """Loss and backward; fp16 with the usual scale, so that gradients do not vanish."""

    def step() -> None:
        model.zero_grad()
        (loss() * (2**10 if precision is torch.float16 else 1)).backward()  # type: ignore[no-untyped-call]

    return step
