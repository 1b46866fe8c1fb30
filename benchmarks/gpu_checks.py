"""The parts of gpu.py that check: each takes a device and yields the lines of its section, or raises Refuted.

On a CPU each runs smaller, as a test of itself: its comparisons are then of a CPU with itself.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from scalesearch.arch.networks import bifpn
from scalesearch.arch.scaling import named
from scalesearch.arch.spec import Anchors, DetectorSpec
from scalesearch.data.pixels import Pixels, open_pixels
from scalesearch.data.sets import Data, open_data
from scalesearch.execute.processes import LocalProcesses
from scalesearch.nn.anchors import anchor_boxes
from scalesearch.nn.detector import Detector, build
from scalesearch.nn.losses import assign, detection_loss
from scalesearch.nn.postprocess import detect
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.task import Outcome, Task
from scalesearch.training.loader import Ready, prepared
from scalesearch.training.run_task import run_task

DATA = "digits"
"""The data set of all checks."""


class Refuted(AssertionError):
    """A check does not hold; the message has the numbers."""


def small(data: Data, side: int = 64) -> DetectorSpec:
    """A detector that trains in seconds, with every part."""
    d0 = named("d0", size=(side, side))
    return dataclasses.replace(
        d0, topology=bifpn(3, 5), repeats=1, width=16, head_width=16, head_depth=1,
        classes=len(data.train.categories), anchors=Anchors(scale=1.5),
    )  # fmt: skip


def few(data: Data, images: int) -> Data:
    """The data with at most so many images in each split."""
    cut = {name: getattr(data, name) for name in ("train", "select", "val")}
    return dataclasses.replace(
        data, **{name: dataclasses.replace(split, images=split.images[:images]) for name, split in cut.items()}
    )


# ---- equality ----


def equality(place: str) -> Iterator[str]:
    """CUDA against CPU, in float32 without TF32: batches, labels, loss, gradients, detections."""
    device = torch.device(place)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    data = few(open_data(DATA), 32)
    spec = small(data)
    pixels = open_pixels(data.train, spec.size)
    recipe = Recipe(epochs=1, batch=8, mosaic=0.3, mixup=0.3)
    coloured = dataclasses.replace(recipe, colour=(0.2, 0.2, 0.2, 0.1))
    here, there = (_batch(pixels, recipe, where) for where in (torch.device("cpu"), device))
    yield "| what | largest difference | allowed |"
    yield "| --- | ---: | ---: |"
    yield _compare("images of a batch (jitter, mosaic, mixup), normalised", here.images, there.images, 1e-5)
    one, other = (_batch(pixels, coloured, where).images.cpu() for where in (torch.device("cpu"), device))
    # A byte is 0.017. A GPU's hues round otherwise here and there, by a byte or two.
    yield _line("the same with colours, on average", float((one - other).abs().mean()), 2e-3)
    yield _compare("boxes of a batch, pixels", here.boxes, there.boxes, 1e-3)
    if not torch.equal(here.labels, there.labels.cpu()):
        raise Refuted("labels of a batch differ")
    torch.manual_seed(0)
    model = build(spec).train()
    found = [_step(model, spec, here, where) for where in (torch.device("cpu"), device)]
    if any(not torch.equal(one, other.cpu()) for one, other in zip(*(one[0] for one in found), strict=True)):
        raise Refuted("anchors are assigned to other boxes")
    yield "| anchors assigned to boxes | 0 | 0 |"
    yield _compare("loss, relative", found[0][1] / found[0][1], found[1][1].cpu() / found[0][1], 1e-4)
    pairs = zip(found[0][2], found[1][2], strict=True)
    largest = max(float((theirs.cpu() - ours).abs().max() / (ours.abs().max() + 1e-6)) for ours, theirs in pairs)
    yield _line("gradients, each parameter's largest over its largest", largest, 2e-2)
    one, other = (_detections(model, spec, here.images, where) for where in (torch.device("cpu"), device))
    yield _compare("scores of the best 20 detections", one, other, 1e-3)


def _batch(pixels: Pixels, recipe: Recipe, device: torch.device) -> Ready:
    return next(prepared(pixels, recipe, seed=0, epoch=0, device=device))


def _step(
    model: Detector, spec: DetectorSpec, batch: Ready, device: torch.device
) -> tuple[list[Tensor], Tensor, list[Tensor]]:
    """Assignment, loss and gradients of the same batch on a device."""
    model = model.to(device)
    model.zero_grad()
    images, boxes, labels = (x.to(device) for x in (batch.images, batch.boxes, batch.labels))
    targets = assign(anchor_boxes(spec, device), boxes, labels)
    loss = detection_loss(model(images), targets).total
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.to("cpu")
    return [targets.places, targets.labels], loss.detach(), gradients


@torch.no_grad()
def _detections(model: Detector, spec: DetectorSpec, images: Tensor, device: torch.device) -> Tensor:
    model = model.to(device).eval()
    found = detect(model(images.to(device)), anchor_boxes(spec, device), spec.size, most=20)
    model.to("cpu").train()
    return torch.cat([one.scores for one in found]).cpu()


def _compare(what: str, one: Tensor, other: Tensor, allowed: float) -> str:
    if one.shape != other.shape:
        raise Refuted(f"{what}: {tuple(one.shape)} and {tuple(other.shape)}")
    return _line(what, float((one - other.cpu()).abs().max()), allowed)


def _line(what: str, found: float, allowed: float) -> str:
    if not found <= allowed:
        raise Refuted(f"{what}: they differ by {found:.3g}, and {allowed:g} is allowed")
    return f"| {what} | {found:.2g} | {allowed:g} |"


# ---- precision ----


def precision(place: str) -> Iterator[str]:
    """Trainings in each precision, whole and in two parts: the second goes on where the first ended."""
    device = torch.device(place)
    data = few(open_data(DATA), 64 if device.type == "cpu" else 600)
    yield "| precision | loss, first epoch | last | AP | loss of the last epoch in two parts | seconds |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for name in ("fp32", "bf16") if device.type == "cpu" else ("fp32", "bf16", "fp16"):
        with tempfile.TemporaryDirectory() as folder:
            recipe = Recipe(epochs=3, batch=16, precision=name, norm_batches=2, flip=False)  # type: ignore[arg-type]
            whole = Task(spec=small(data), recipe=recipe, seed=0, to_epoch=3, folder=Path(folder) / "whole")
            first = dataclasses.replace(whole, to_epoch=2, folder=Path(folder) / "parts")
            one = _complete(whole, data, device)
            _complete(first, data, device)
            two = _complete(dataclasses.replace(first, from_epoch=2, to_epoch=3), data, device)
        losses, again = [line[1] for line in one.losses], two.losses[-1][1]
        if not losses[-1] < losses[0]:
            raise Refuted(f"{name}: the loss went from {losses[0]:.4g} to {losses[-1]:.4g}")
        if abs(again - losses[-1]) > 0.1 * losses[-1]:
            raise Refuted(f"{name}: the last epoch's loss is {losses[-1]:.4g} whole and {again:.4g} in two parts")
        ap = one.curve[-1][1]["ap"]
        yield f"| {name} | {losses[0]:.4g} | {losses[-1]:.4g} | {ap or 0:.3f} | {again:.4g} | {one.seconds:.0f} |"


def _complete(task: Task, data: Data, device: torch.device) -> Outcome:
    found = run_task(task, data, device=device.type)
    if found.state != "complete":
        raise Refuted(f"a training failed: {found.reason}")
    return found


# ---- out of memory ----


def memory(place: str) -> Iterator[str]:
    """A training that does not fit, and the next one in the same process."""
    device = torch.device(place)
    data = few(open_data(DATA), 64)
    side, share = (64, 0.0) if device.type == "cpu" else (512, 0.02)
    large = dataclasses.replace(small(data, side), width=160, head_width=160)
    recipe = Recipe(epochs=1, batch=64, norm_batches=1, flip=False)
    if device.type == "cuda":  # the check before a training looks at free memory, which this does not change
        torch.cuda.set_per_process_memory_fraction(share)
    with tempfile.TemporaryDirectory() as folder:
        reason = _failure(Task(spec=large, recipe=recipe, seed=0, to_epoch=1, folder=Path(folder) / "a"), data, device)
        left = torch.cuda.memory_reserved() if device.type == "cuda" else 0
        light = dataclasses.replace(recipe, batch=4)
        after = _complete(
            Task(spec=small(data), recipe=light, seed=0, to_epoch=1, folder=Path(folder) / "b"), data, device
        )
    yield f"- The large training: {reason or 'it fitted (there is no limit on a CPU)'}."
    yield f"- Reserved after it: {left / 2**20:.0f} MiB. The small one after it: {after.state}, {after.seconds:.0f} s."
    if device.type == "cuda" and "memory" not in reason:
        raise Refuted(f"a training beyond {share:.0%} of the memory did not run out of it: {reason or 'complete'}")
    if left > 2**30:
        raise Refuted(f"{left / 2**20:.0f} MiB stay reserved after a training that ran out of memory")


def _failure(task: Task, data: Data, device: torch.device) -> str:
    try:
        return run_task(task, data, device=device.type).reason
    except RuntimeError as error:  # torch.OutOfMemoryError
        return str(error).splitlines()[0]


# ---- workers ----

_data: Data | None = None
_device = "cpu"


def open_digits(device: str, images: int) -> None:
    """Of a worker: open the data once."""
    global _data, _device
    _device, _data = device, few(open_data(DATA), images)


def train_small(task: Task) -> Outcome:
    """Of a worker: one training."""
    assert _data is not None, "a worker is prepared before it trains"
    return run_task(task, _data, device=_device)


def workers(place: str) -> Iterator[str]:
    """The same trainings by one worker and by several on one GPU."""
    device = torch.device(place)
    import gpu_checks

    cpu = device.type == "cpu"
    images, numbers = (16, (1, 2)) if cpu else (600, (1, 2, 4, 8))
    data = few(open_data(DATA), images)
    recipe = Recipe(epochs=1, batch=8 if cpu else 16, precision="fp32" if cpu else "bf16", norm_batches=1, flip=False)
    yield "| workers | trainings | seconds after the first | images a second | of one worker's |"
    yield "| ---: | ---: | ---: | ---: | ---: |"
    alone = 0.0
    for number in numbers:
        with tempfile.TemporaryDirectory() as folder:
            count = 2 * number
            tasks = [
                Task(
                    spec=small(data, 64 if cpu else 256),
                    recipe=recipe,
                    seed=i,
                    to_epoch=1,
                    folder=Path(folder) / str(i),
                )
                for i in range(number + count)
            ]
            executor = LocalProcesses[Task, Outcome](
                number, gpu_checks.train_small, gpu_checks.open_digits, (device.type, images)
            )
            try:
                for future in [executor.submit(task, "") for task in tasks[:number]]:  # imports, data, kernels
                    future.result()
                start = time.perf_counter()
                found = [future.result() for future in [executor.submit(task, "") for task in tasks[number:]]]
            finally:
                executor.close()
        seconds = time.perf_counter() - start
        if any(one.state != "complete" for one in found):
            raise Refuted(f"{number} workers: {[one.reason for one in found]}")
        speed = count * len(data.train.images) / seconds
        alone = alone or speed
        yield f"| {number} | {count} | {seconds:.1f} | {speed:.0f} | {speed / alone:.2f} |"
