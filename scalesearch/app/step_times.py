"""How long a training step and a detection take on this machine, measured for some seconds."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch

from scalesearch.arch.spec import DetectorSpec
from scalesearch.data.pixels import Pixels, open_pixels
from scalesearch.data.split import Split
from scalesearch.nn.allocator import keep_freed_memory
from scalesearch.nn.release import releasing
from scalesearch.plan.recipe import NONE, Recipe
from scalesearch.plan.task import Task
from scalesearch.profile.latency_benchmark import deployed
from scalesearch.profile.latency_setting import setting_of
from scalesearch.training.loop import Training
from scalesearch.training.together import steps_together

_LEAST, _SECONDS = 3, 1.0
"""Timed runs at least, and seconds after which there are no more. A first run, which allocates, does not count."""


@dataclass(frozen=True, kw_only=True)
class StepTimes:
    """Seconds on this machine if it does nothing else."""

    frozen: float
    """A training step by the recipe of the search."""
    behind: float
    """The same of another candidate, trained together with that one."""
    whole: float
    """A training step by that of the winners."""
    latency: float
    """An image through the detector, on one thread or on the GPU."""

    def shared(self, candidates: float) -> float:
        """Return the seconds of a candidate's step where so many are trained together."""
        return (self.frozen + (candidates - 1) * self.behind) / candidates


@releasing
def step_times(spec: DetectorSpec, search: Recipe, final: Recipe, split: Split, threads: int) -> StepTimes:
    """Measure the detector `spec` on images of `split`, with so many threads. Weights are random: times are the same."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    few = replace(split, images=split.images[: search.batch])
    keep_freed_memory()
    with _threads(threads), tempfile.TemporaryDirectory() as folder:
        pixels = replace(open_pixels(few, spec.size), normalisation=spec.normalisation)
        clock = _clock(device, threads)
        task = Task(spec=spec, recipe=search, seed=0, to_epoch=1, folder=Path(folder))
        frozen, two, whole = (
            _median(_epoch(replace(task, recipe=recipe), count, pixels, device), clock)
            for recipe, count in ((search, 1), (search, 2), (final, 1))
        )
    with _threads(1):
        setting = setting_of(device.type, "eager", "fp32", 1 if device.type == "cpu" else None, 1)
        latency = _median(deployed(spec, setting)[0], _clock(device, 1))
    return StepTimes(frozen=frozen, behind=max(0.0, two - frozen), whole=whole, latency=latency)


def _epoch(task: Task, count: int, pixels: Pixels, device: torch.device) -> Callable[[], None]:
    """Return a function that trains an epoch of so many together, which is one step: there are as many images as in a batch."""
    recipe = replace(task.recipe, epochs=1000, steps=0, weights=NONE, weights_hash=NONE)
    trainings = [Training(replace(task, recipe=recipe), pixels, device) for _ in range(count)]
    for one in trainings[1:]:
        one.share_backbone(trainings[0])

    def run() -> None:
        for training, batch, common in steps_together(trainings):
            training.train_step(batch, common)
        for training in trainings:
            training.end_epoch()

    return run


def _clock(device: torch.device, threads: int) -> Callable[[], float]:
    """Return the processor's time for one thread, which other work moves little; else elapsed time."""
    return time.process_time if device.type == "cpu" and threads == 1 else time.perf_counter


def _median(run: Callable[[], object], clock: Callable[[], float]) -> float:
    run()
    times, begun = list[float](), time.perf_counter()
    while len(times) < _LEAST or time.perf_counter() - begun < _SECONDS:
        start = clock()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(clock() - start)
    return median(times)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
