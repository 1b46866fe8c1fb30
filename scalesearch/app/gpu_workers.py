"""How many trainings at a time keep a GPU busy, where the plan and the command line name no number."""

from __future__ import annotations

import dataclasses
import logging
import math

import numpy as np
import torch

from scalesearch.app.workers import Engine, Where
from scalesearch.cost.budget import human
from scalesearch.cost.memory import TrainingSettings, training_memory
from scalesearch.cost.price import price
from scalesearch.inputs.machine import processors
from scalesearch.plan.plan import Plan
from scalesearch.plan.recipe import Recipe
from scalesearch.space.band import Band

logger = logging.getLogger(__name__)

CONTEXT = 3 * 2**29
"""Bytes of a process on a GPU beside its tensors: CUDA's context and the libraries' workspaces."""
SLACK = 1.25
"""Of a training's memory over the arithmetic's: what a step takes for a while, and what the allocator cannot use."""
USABLE = 0.9
"""Share of a GPU's memory to fill."""
PROCESSORS = 2
"""Processors of a training: one launches kernels, the others make batches."""
MOST = 8
"""Trainings on one GPU: the processes take turns on it, and each more is one more result that no proposal was told."""
LAUNCHES, SPEED = 12e-3, 20e12
"""Seconds of a step in which a small detector only launches kernels (some 2,000 of 6 us), and operations a second that
convolutions of a detector reach on a data-centre GPU. Estimates, not measured: they only say which candidates are small."""
DRAWS = 100
"""Random candidates of the band, of which the dearest is taken."""


def workers_per_gpu(needed: int, step: float, *, memory: int, processors: int) -> int:
    """Return the number of trainings at a time on a GPU of `memory` bytes with `processors` for it; at least 1.

    Each needs `needed` bytes by arithmetic and `step` operations (2 a multiply-add) a step. As many as fit into the
    memory, have their processors, and fill the time in which one alone would leave the GPU idle.
    """
    by_memory = int(USABLE * memory // (SLACK * needed + CONTEXT))
    by_idle = math.ceil(1 + LAUNCHES * SPEED / step)
    return max(1, min(by_memory, processors // PROCESSORS, by_idle, MOST))


def fill_gpus(engine: Engine, plan: Plan, where: Where, band: Band) -> Engine:
    """Return the engine with as many workers as keep the GPUs of this machine busy, where no number was asked for."""
    count = torch.cuda.device_count()
    if engine.slots or where.workers or plan.workers or not count:
        return engine
    try:
        needed, step = dearest(band, plan)
    except ValueError:  # a timm backbone whose memory was not measured
        return engine
    memory = min(torch.cuda.get_device_properties(i).total_memory for i in range(count))
    each = workers_per_gpu(needed, step, memory=memory, processors=processors() // count)
    logger.info(
        f"{count * each} trainings at a time, {each} on a GPU: the dearest of {DRAWS} random candidates needs "
        f"{human(needed, 'memory')} of {human(memory, 'memory')}; --workers N for another number"
    )
    threads = plan.threads or max(1, torch.get_num_threads() // (count * each))
    return dataclasses.replace(engine, workers=count * each, threads=threads)


def dearest(band: Band, plan: Plan) -> tuple[int, float]:
    """Return the bytes of the dearest training of random candidates, by either recipe, and operations of the median step."""
    rng = np.random.default_rng(0)
    specs = [spec for _ in range(DRAWS) for spec in band.draw((), rng).members]
    recipes = (plan.recipe, plan.winners.recipe)
    needed = max(training_memory(spec, training_settings(recipe)) for spec in specs for recipe in recipes)
    # A multiply-add is two operations, and the backward pass takes twice the forward's.
    operations = 6.0 * float(np.median([price(spec).macs for spec in specs])) * plan.recipe.batch
    # Candidates that are trained together hold the maps of one at a time: eight took 1.09 of one's memory
    # (results/benchmarks/frozen_step.md), which is within SLACK.
    return needed, operations


def training_settings(recipe: Recipe) -> TrainingSettings:
    """Return what the memory of a training depends on.

    Of a recipe that freezes some stages of the backbone or for some epochs, it is that of training all of them.
    """
    return TrainingSettings(
        batch=recipe.batch,
        optimizer=recipe.optimizer,
        momentum=recipe.momentum > 0,
        frozen=recipe.frozen_backbone,
        half=recipe.precision != "fp32",
        checkpointing=recipe.checkpointing,
    )
