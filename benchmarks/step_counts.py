"""How many kernels does a training step launch, and how often does the host wait for the GPU? Counted without one.

    python benchmarks/step_counts.py [--out results/benchmarks/step_counts.md]       (a minute on one core)

The real training loop runs on CPU tensors under two of torch's modes, which see every operator and every call of a
tensor's method. An operator that is no view counts as a kernel: a fused or foreach operator as one, whatever it launches.
Tensors of random draws are on the host whatever the device, and what is computed from them alone is not counted. The host
waits where

- a number is read (`item`, `float`, `bool`, `tolist`, `cpu`);
- the size of a result depends on data (`nonzero`, an index by a mask, suppression);
- a list becomes a tensor on the device (`torch.tensor(..., device=...)`, `new_tensor`, an index by a list), or a tensor
  of the host is copied there without `non_blocking`: from pageable memory a copy begins when the stream is empty.

What has one path for a CPU and another for other devices takes the other.

What the loader does is done by a thread in a stream of its own, so that its waits do not stop the step.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import platform
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from scalesearch.arch.scaling import named
from scalesearch.arch.spec import DetectorSpec
from scalesearch.data import colour, resample
from scalesearch.data.pixels import Pixels
from scalesearch.data.split import Category, Image, Split
from scalesearch.nn import postprocess
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.task import Task
from scalesearch.training import evaluation, loader
from scalesearch.training.loader import Ready
from scalesearch.training.loop import Training
from scalesearch.training.together import labelled

PHASES = ("batch", "labels", "forward", "loss", "backward", "clip", "optimizer", "average", "rest")
NO_KERNEL = {
    "empty",
    "empty_like",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
    "lift_fresh",
    "_local_scalar_dense",
}
OFF_THE_CPU = (colour, resample, postprocess)
"""Modules whose `one_by_one` is the CPU's path, and whose `together` any other device's."""


class Counts:
    """Kernels and waits, by phase."""

    def __init__(self, *, late: bool = True) -> None:
        self.late = late
        self.kernels, self.waits = Counter[str](), Counter[str]()
        self.why = Counter[tuple[str, str]]()
        self.phase = "rest"
        self.host: dict[int, Any] = {}
        """Storages of host tensors, held, so that no address is reused."""

    def clear(self) -> None:
        """Begin anew."""
        for counter in (self.kernels, self.waits, self.why):
            counter.clear()

    def wait(self, why: str) -> None:
        """Count a wait."""
        self.waits[self.phase] += 1
        self.why[self.phase, why] += 1

    def on_host(self, values: Any) -> bool:
        """Whether there are tensors among the values, all of them on the host."""
        tensors = [x for x in tree_leaves(values) if isinstance(x, Tensor)]
        return bool(tensors) and all(x.untyped_storage()._cdata in self.host for x in tensors)

    def to_host(self, values: Any) -> None:
        """Note tensors as on the host."""
        for x in tree_leaves(values):
            if isinstance(x, Tensor):
                self.host[x.untyped_storage()._cdata] = x.untyped_storage()

    def to_device(self, value: Tensor) -> Tensor:
        """Return a copy of a host's tensor, noted as on the device."""
        copy = value.clone()
        self.host.pop(copy.untyped_storage()._cdata)
        return copy

    @contextlib.contextmanager
    def inside(self, phase: str) -> Iterator[None]:
        """Count as this phase."""
        before, self.phase = self.phase, phase
        try:
            yield
        finally:
            self.phase = before

    def timed(self, phase: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return `work`, counted as this phase."""

        def run(*args: Any, **kwargs: Any) -> Any:
            with self.inside(phase):
                return work(*args, **kwargs)

        return run


class Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts kernels, and results whose size depends on data."""

    def __init__(self, counts: Counts) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts = counts

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out, counts, kwargs = func(*args, **(kwargs or {})), self.counts, kwargs or {}
        name = func._schema.name.split("::")[1]
        if counts.on_host((args, kwargs)) or kwargs.get("generator") is not None:
            counts.to_host(out)
            return out
        if name == "_local_scalar_dense":
            counts.wait("number read")
        masks = name.startswith(("index", "_index")) and any(
            isinstance(x, Tensor) and x.dtype == torch.bool for x in tree_leaves(args[1:])
        )
        if name in ("nonzero", "masked_select", "unique_dim", "_unique2", "nms") or masks:
            counts.wait("size from data")
        views = any(one.alias_info is not None and not one.alias_info.is_write for one in func._schema.returns)
        if not views and name not in NO_KERNEL:
            counts.kernels[counts.phase] += 1
        return out


class Calls(TorchFunctionMode):
    """Counts reads that no operator shows, and lists that become tensors of the device."""

    def __init__(self, counts: Counts) -> None:
        super().__init__()
        self.counts = counts

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        counts, kwargs = self.counts, kwargs or {}
        name = getattr(func, "__name__", "")
        if name in ("tensor", "new_tensor", "as_tensor"):
            out = func(*args, **kwargs)
            if kwargs.get("device") is not None or (name == "new_tensor" and not counts.on_host(args[:1])):
                counts.wait("list to the device")
                return out
            counts.to_host(out)
            return out
        if name == "to" and kwargs.get("non_blocking") and "cpu" in args[1:] and counts.late:
            out = func(*args, **kwargs).clone()  # read when the next step has been sent
            counts.to_host(out)
            return out
        if name in ("tolist", "cpu", "numpy") and args and not counts.on_host(args[:1]):
            counts.wait("number read")
            if name == "cpu":
                out = func(*args, **kwargs).clone()
                counts.to_host(out)
                return out
        if name == "to" and counts.on_host(args[:1]) and any(isinstance(x, torch.device) for x in args[1:]):
            if not kwargs.get("non_blocking"):
                counts.wait("copy to the device")
            return counts.to_device(args[0])
        if name in ("__getitem__", "__setitem__") and not counts.on_host(args[:1]):
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            if any(isinstance(one, list) for one in index):
                counts.wait("list to the device")
        return func(*args, **kwargs)


def images(count: int, size: tuple[int, int], objects: int) -> Pixels:
    """Random images with as many objects each."""
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, min(size) * 0.6, (count, objects, 2)).astype(np.float32)
    boxes = np.concatenate([corners, corners + rng.uniform(8, min(size) * 0.4, corners.shape)], 2).astype(np.float32)
    labels = rng.integers(0, 3, (count, objects))
    no, areas = np.zeros(objects, bool), np.ones(objects)
    known = tuple(
        Image(
            id=i,
            name=str(i),
            file=Path(str(i)),
            width=size[1],
            height=size[0],
            boxes=boxes[i],
            labels=labels[i],
            crowd=no,
            areas=areas,
        )
        for i in range(count)
    )
    split = Split(name="random", images=known, categories=tuple(Category(id=k, name=f"class {k}") for k in range(3)))
    array = rng.integers(0, 256, (count, *size, 3), dtype=np.uint8)
    return Pixels(split=split, array=array, scales=np.ones(count, np.float32), boxes=list(boxes), labels=list(labels))


def count_step(recipe: Recipe, pixels: Pixels, design: DetectorSpec, *, late: bool) -> Counts:
    """Count the third step of a training; `late`: as on a GPU, where the loader finds labels and losses are read late."""
    counts = Counts(late=late)
    with tempfile.TemporaryDirectory() as folder:
        spec = dataclasses.replace(design, size=pixels.size, classes=3)
        task = Task(spec=spec, recipe=recipe, seed=0, to_epoch=recipe.epochs, folder=Path(folder))
        training = Training(task, pixels, torch.device("cpu"))
    training.late = late
    training.begin_epoch()
    batches = labelled([training])
    training.train_step(next(batches))
    training.forward = counts.timed("forward", training.forward)
    training.average.update = counts.timed("average", training.average.update)  # type: ignore[method-assign]
    training.optimizer.step = counts.timed("optimizer", training.optimizer.step)  # type: ignore[method-assign]
    patches = {
        **({} if late else {"scalesearch.training.loop.assign": "labels"}),
        "scalesearch.training.loop.losses": "loss",
        "torch.nn.utils.clip_grad_norm_": "clip",
        "torch.Tensor.backward": "backward",
    }
    with contextlib.ExitStack() as stack:
        for place, phase in patches.items():
            stack.enter_context(_patched(place, phase, counts))
        if late:
            stack.enter_context(off_the_cpu())
        stack.enter_context(Calls(counts))
        stack.enter_context(Operators(counts))
        for _ in range(2):  # the second one reads the loss of a step that was seen, too
            counts.clear()
            with counts.inside("batch"):
                batch = next(batches)
            training.train_step(batch)
    return counts


@contextlib.contextmanager
def off_the_cpu() -> Iterator[None]:
    """Take the path of other devices on the CPU."""
    with contextlib.ExitStack() as stack:
        for module in OFF_THE_CPU:
            stack.enter_context(patch.object(module, "one_by_one", module.together))
        yield


def _patched(place: str, phase: str, counts: Counts) -> Any:
    module, _, name = place.rpartition(".")
    found: Any = __import__(module, fromlist=[name]) if module != "torch.Tensor" else Tensor
    return patch(place, counts.timed(phase, getattr(found, name)))


def count_batch(recipe: Recipe, size: tuple[int, int]) -> int:
    """Count the kernels of one batch of images of this size, without its labels."""
    made = loader.prepared(images(recipe.batch, size, 6), recipe, seed=0, epoch=0, device=torch.device("cpu"))
    counts = Counts()
    with off_the_cpu(), Calls(counts), Operators(counts):
        next(made)
    return counts.kernels.total()


def count_evaluation(pixels: Pixels, design: DetectorSpec) -> Counts:
    """Count the detection of one batch of an evaluation."""
    from scalesearch.nn.anchors import anchor_boxes
    from scalesearch.nn.detector import build

    counts, spec = Counts(), dataclasses.replace(design, size=pixels.size, classes=3)
    torch.manual_seed(0)
    model, anchors = build(spec).eval(), anchor_boxes(spec)

    def fed(*args: Any) -> Iterator[Ready]:
        for batch in loader.fed(*args):
            counts.to_host(batch.places)
            yield batch

    with patch.object(evaluation, "fed", fed), off_the_cpu(), Calls(counts), Operators(counts):
        evaluation.predict(model, anchors, pixels)
    return counts


def main() -> None:
    """Count, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--design", default="d0")
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/step_counts.md"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    size = (args.side, args.side)
    plain = Recipe(epochs=3, batch=args.batch)
    # Mosaics of all images: of half of them, there may be none in the step that is counted.
    recipes = {
        "flip and jitter": plain,
        "colour too": dataclasses.replace(plain, colour=(0.4, 0.4, 0.4, 0.1)),
        "mosaic and mixup too": dataclasses.replace(plain, colour=(0.4, 0.4, 0.4, 0.1), mosaic=1.0, mixup=0.5),
    }
    found = {
        f"{what}{', read at once' if not late else ''}": count_step(
            recipe, images(3 * args.batch, size, 6), named(args.design), late=late
        )
        for what, recipe in recipes.items()
        for late in ((False, True) if recipe is plain else (True,))
    }
    sizes = (args.batch, 8 * args.batch)
    made = {
        what: [count_batch(dataclasses.replace(recipe, batch=count), size) for count in sizes]
        for what, recipe in recipes.items()
    }
    scored = count_evaluation(images(evaluation.BATCH, size, 6), named(args.design))
    lines = [
        f"# Kernels and waits of a training step: {args.design} at {args.side}, batch {args.batch}",
        "",
        f"`python benchmarks/step_counts.py --design {args.design} --side {args.side} --batch {args.batch}`",
        "",
        f"Kernels / waits, counted on CPU tensors; the script says how. torch {torch.__version__}, Python {platform.python_version()}.",
        "The batch is made by a thread in a stream of its own: where its waits are, the step goes on.",
        "",
        "| part of the step | " + " | ".join(found) + " |",
        "| --- |" + " ---: |" * len(found),
        *(
            f"| {phase} | " + " | ".join(f"{one.kernels[phase]} / {one.waits[phase]}" for one in found.values()) + " |"
            for phase in PHASES
        ),
        "| all but the batch | "
        + " | ".join(
            f"{one.kernels.total() - one.kernels['batch']} / {one.waits.total() - one.waits['batch']}"
            for one in found.values()
        )
        + " |",
        "",
        f"Kernels of a batch of {sizes[0]} and of {sizes[1]} images, without labels: "
        + "; ".join(f"{what} {one} and {other}" for what, (one, other) in made.items())
        + ". An operation on colours is launched where an image of the batch has it at this turn.",
        "",
        f"A batch of {evaluation.BATCH} images in evaluation: {scored.kernels.total()} kernels, {scored.waits.total()} waits.",
        "",
        "Why the host waits:",
        "",
        *(
            f"- {what}: " + "; ".join(f"{phase}: {count} x {why}" for (phase, why), count in one.why.items())
            for what, one in {**found, "evaluation": scored}.items()
        ),
    ]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
