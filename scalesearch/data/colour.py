"""Random brightness, contrast, saturation and hue for each image, with the arithmetic of torchvision's v2.

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


def jitter_colour(
    images: Tensor,
    generator: torch.Generator,
    *,
    strengths: tuple[float, float, float, float],
    shard: Shard = WHOLE,
) -> Tensor:
    """Change the colours of each image by factors and in an order of its own, drawn as v2's ColorJitter draws them.

    Args:
        images: uint8 [B, H, W, 3], as in a `Batch`, on any device.
        generator: the only source of randomness, on the CPU.
        strengths: one for each of `OPERATIONS`, as in `Recipe.colour`.
        shard: the part of the whole batch that these images are.

    Returns:
        New images of the same shape.
    """
    whole = len(images) * shard.world
    draws = shard.of(torch.rand(whole, 2, len(OPERATIONS), generator=generator, dtype=torch.float64))
    changed = torch.empty_like(images)
    for row, (amounts, ranks) in enumerate(draws.tolist()):
        planes = images[row].permute(2, 0, 1).contiguous()  # hue on interleaved channels takes a third longer
        for place in sorted(range(len(OPERATIONS)), key=ranks.__getitem__):
            if strengths[place]:
                planes = OPERATIONS[place](planes, factor(place, strengths[place], amounts[place]))
        changed[row] = planes.permute(1, 2, 0)
    return changed


def factor(place: int, strength: float, draw: float) -> float:
    """Map a draw from [0, 1) to an operation's factor in [1 - strength, 1 + strength]; around 0 for hue."""
    around = 0.0 if OPERATIONS[place] is v2.adjust_hue else 1.0
    return around + strength * (2 * draw - 1)
