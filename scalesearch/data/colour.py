"""Random brightness, contrast, saturation and hue, image by image. The arithmetic is torchvision's v2.

Imports torch and torchvision.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as v2

from scalesearch.data.shard import WHOLE, Shard

OPERATIONS: tuple[Callable[[Tensor, float], Tensor], ...] = (
    v2.adjust_brightness,
    v2.adjust_contrast,
    v2.adjust_saturation,
    v2.adjust_hue,
)


def colour(
    images: Tensor,
    generator: torch.Generator,
    *,
    strengths: tuple[float, float, float, float],
    shard: Shard = WHOLE,
) -> Tensor:
    """Colours of each image changed by factors of its own, in an order of its own, as v2's ColorJitter draws them.

    Args:
        images: uint8 [B, H, W, 3], as batches are, on any device.
        generator: the only source of randomness, on the CPU.
        strengths: of `OPERATIONS`, as in `Recipe.colour`.
        shard: of the batch, that the images are.

    Returns:
        The same, new.
    """
    whole = len(images) * shard.world
    draws = shard.of(torch.rand(whole, 2, len(OPERATIONS), generator=generator, dtype=torch.float64))
    changed = torch.empty_like(images)
    for row, (amounts, ranks) in enumerate(draws.tolist()):
        planes = images[row].permute(2, 0, 1).contiguous()  # the hue of interleaved ones takes a third longer
        for place in sorted(range(len(OPERATIONS)), key=ranks.__getitem__):
            if strengths[place]:
                planes = OPERATIONS[place](planes, factor(place, strengths[place], amounts[place]))
        changed[row] = planes.permute(1, 2, 0)
    return changed


def factor(place: int, strength: float, draw: float) -> float:
    """What an operation takes for a draw from [0, 1): from [1 - strength, 1 + strength], the hue's about 0."""
    around = 0.0 if OPERATIONS[place] is v2.adjust_hue else 1.0
    return around + strength * (2 * draw - 1)
