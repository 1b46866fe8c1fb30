"""The batches of an epoch: on the device, augmented by the recipe, normalised; prefetched where that pays.

Imports torch, data and plan.
"""

from __future__ import annotations

import functools
from collections.abc import Generator, Iterator, Mapping
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from scalesearch.data.augment import jitter, normalise
from scalesearch.data.colour import jitter_colour
from scalesearch.data.mix import mixup, mosaic
from scalesearch.data.pixels import Batch, Pixels, batches, eval_batches
from scalesearch.data.prefetch import ahead
from scalesearch.data.shard import WHOLE, Shard
from scalesearch.data.transfer import sent
from scalesearch.inputs.machine import usable_processors
from scalesearch.nn.losses import Targets
from scalesearch.plan.recipe import Recipe


class Ready(NamedTuple):
    """A batch ready for the network."""

    places: Tensor
    """[B] positions in the split."""
    images: Tensor
    """float32 [B, 3, h, w], normalised."""
    boxes: Tensor
    """[B, M, 4] xyxy in input pixels."""
    labels: Tensor
    """[B, M], -1 where there is no object."""
    random: Tensor
    """The generator's state after this batch, from which the next one starts."""
    targets: Mapping[Any, Targets] = MappingProxyType({})
    """The positives, by what the anchor boxes depend on, where they were found ahead."""


def prepared(
    pixels: Pixels,
    recipe: Recipe,
    *,
    seed: int,
    epoch: int,
    device: torch.device,
    mixed: bool = True,
    shard: Shard = WHOLE,
    first: int = 0,
    random: Tensor | None = None,
) -> Iterator[Ready]:
    """Yield this shard of an epoch's batches, a function of (seed, epoch); without mosaic and mixup unless `mixed`.

    The first is the `first`-th, from 0; its generator continues from `random`, the state after the batch before.
    """
    generator = torch.Generator().manual_seed(epoch_seed(seed, epoch))
    if random is not None:
        generator.set_state(random)
    # Mosaic and mixup need the whole batch in every process; the rest is computed for the shard only.
    mixing = mixed and bool(recipe.mosaic or recipe.mixup)
    mine, later = (WHOLE, shard) if mixing else (shard, WHOLE)
    for batch in batches(pixels, batch=recipe.batch, seed=seed, epoch=epoch, first=first, shard=mine):
        images, boxes, labels = _moved(batch, device)
        if mixed and recipe.mosaic:
            images, boxes, labels = mosaic(images, boxes, labels, generator, share=recipe.mosaic)
        if recipe.flip or recipe.flip_vertical or recipe.jitter != (1.0, 1.0):
            images, boxes, labels = jitter(
                images,
                boxes,
                labels,
                generator,
                scale=recipe.jitter,
                flip=recipe.flip,
                flip_vertical=recipe.flip_vertical,
                shard=mine,
            )
        if any(recipe.colour):
            images = jitter_colour(images, generator, strengths=recipe.colour, shard=mine)
        if mixed and recipe.mixup:
            images, boxes, labels = mixup(images, boxes, labels, generator, share=recipe.mixup)
        places, images, boxes, labels = map(later.of, (batch.index, images, boxes, labels))
        yield Ready(places, normalise(images, pixels.normalisation), boxes, labels, generator.get_state())


def unchanged(pixels: Pixels, batch: int, shard: Shard, device: torch.device) -> Iterator[Ready]:
    """Yield all images in order, as `eval_batches`, for an evaluation: nothing is drawn."""
    for one in eval_batches(pixels, batch, shard):
        images, boxes, labels = _moved(one, device)
        yield Ready(one.index, normalise(images, pixels.normalisation), boxes, labels, torch.empty(0))


def fed(batches: Iterator[Ready], device: torch.device) -> Generator[Ready]:
    """Yield the same batches, prefetched by a thread on a GPU, and on a CPU with a core that torch leaves idle.

    Close it if it is left early: that ends its thread.
    """
    if device.type == "cuda":
        yield from _in_stream(batches, device)
    else:
        yield from ahead(batches) if spare_core() else batches


def spare_core() -> bool:
    """Whether this process may use more cores than torch has threads."""
    return usable_processors() > torch.get_num_threads()


def epoch_seed(seed: int, epoch: int) -> int:
    """Return a different seed for each epoch of a training."""
    return (seed * 1_000_003 + epoch) % 2**63


def _moved(batch: Batch, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Move a batch to the device as bytes, a fourth of the size of normalised floats."""
    return sent(batch.images, device), sent(batch.boxes, device), sent(batch.labels, device)


@functools.cache
def side_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the stream that prepares batches, one of a process for each GPU.

    torch reserves memory by stream: a new one for each epoch would leave the reserve of the one before unused.
    """
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _in_stream(batches: Iterator[Ready], device: torch.device) -> Iterator[Ready]:
    """Prepare batches in a thread with its own CUDA stream, concurrently with the training step."""
    side = side_stream(device)

    def made() -> Iterator[tuple[Ready, torch.cuda.Event]]:
        with torch.cuda.stream(side):
            for ready in batches:
                yield ready, side.record_event()

    for ready, event in ahead(made()):
        here = torch.cuda.current_stream(device)
        here.wait_event(event)
        for tensor in (ready.images, ready.boxes, ready.labels, *chain.from_iterable(ready.targets.values())):
            tensor.record_stream(here)  # keeps its memory from being reused while this stream may still read it
        yield ready
