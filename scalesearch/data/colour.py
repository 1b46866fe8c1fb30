"""Random brightness, contrast, saturation and hue for each image, with the arithmetic of torchvision's v2.

Imports torch and torchvision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as v2
from torchvision.transforms.v2.functional._color import _hsv_to_rgb, _rgb_to_hsv

from scalesearch.data.shard import WHOLE, Shard
from scalesearch.data.transfer import sent

OPERATIONS: tuple[Callable[[Tensor, float], Tensor], ...] = (
    v2.adjust_brightness,
    v2.adjust_contrast,
    v2.adjust_saturation,
    v2.adjust_hue,
)


ColourPlan = list[tuple[int, float]]
"""The operations on one image in their order: position in OPERATIONS, and factor."""


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
    plans = [_plan(strengths, amounts, ranks) for amounts, ranks in draws.tolist()]
    return one_by_one(images, plans) if images.device.type == "cpu" else together(images, plans)


def _plan(strengths: Sequence[float], amounts: Sequence[float], ranks: Sequence[float]) -> ColourPlan:
    order = sorted(range(len(OPERATIONS)), key=ranks.__getitem__)
    return [(place, factor(place, strengths[place], amounts[place])) for place in order if strengths[place]]


def one_by_one(images: Tensor, plans: Sequence[ColourPlan]) -> Tensor:
    """Change uint8 [B, H, W, 3] image by image, which then stays in a processor's cache."""
    changed = torch.empty_like(images)
    for row, plan in enumerate(plans):
        planes = images[row].permute(2, 0, 1).contiguous()  # hue on interleaved channels takes a third longer
        for place, amount in plan:
            planes = OPERATIONS[place](planes, amount)
        changed[row] = planes.permute(1, 2, 0)
    return changed


def together(images: Tensor, plans: Sequence[ColourPlan]) -> Tensor:
    """Change uint8 [B, H, W, 3] by as many kernels for any number of images, some 300: one by one they are 77 an image,
    which a GPU does in less time than they are launched in. A last bit may round otherwise than `one_by_one`'s: one value in a thousand differs, by 1 or 2.

    In each round the images are sorted by operation, and each operation is applied to all of its images.
    """
    order, gathers, factors, counts = list(range(len(plans))), list[list[int]](), list[list[float]](), list[list[int]]()
    for step in range(max(map(len, plans))):
        wanted = sorted(order, key=lambda row: plans[row][step][0])
        gathers.append([order.index(row) for row in wanted])
        factors.append([plans[row][step][1] for row in wanted])
        counts.append([sum(plans[row][step][0] == place for row in wanted) for place in range(len(OPERATIONS))])
        order = wanted
    gathers.append([order.index(row) for row in range(len(plans))])
    places = sent(torch.tensor(gathers), images.device)
    amounts = sent(torch.tensor(factors), images.device)
    planes = images.permute(0, 3, 1, 2).contiguous()
    for step, count in enumerate(counts):
        parts = zip(torch.split(planes[places[step]], count), torch.split(amounts[step], count), BATCHED, strict=True)
        planes = torch.cat([work(part, own[:, None, None, None]) for part, own, work in parts if len(part)])
    return planes[places[-1]].permute(0, 2, 3, 1)


def _brightness(planes: Tensor, amount: Tensor) -> Tensor:
    return _bytes(planes * amount)


def _contrast(planes: Tensor, amount: Tensor) -> Tensor:
    grey = v2.rgb_to_grayscale(planes).float().mean((1, 2, 3), keepdim=True)
    return _bytes(planes * amount + grey * (1 - amount))


def _saturation(planes: Tensor, amount: Tensor) -> Tensor:
    return _bytes(planes * amount + v2.rgb_to_grayscale(planes) * (1 - amount))


def _hue(planes: Tensor, amount: Tensor) -> Tensor:
    hue, saturation, value = _rgb_to_hsv(v2.to_dtype(planes, torch.float32, scale=True)).unbind(1)
    turned = torch.stack([(hue + amount[:, 0]).remainder(1.0), saturation, value], 1)
    changed: Tensor = v2.to_dtype(_hsv_to_rgb(turned), torch.uint8, scale=True)
    return changed


BATCHED: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (_brightness, _contrast, _saturation, _hue)
"""OPERATIONS with torchvision's arithmetic, uint8 [n, 3, H, W] and a factor [n, 1, 1, 1] each; its own take one for all."""


def _bytes(values: Tensor) -> Tensor:
    return values.clamp_(0, 255).to(torch.uint8)


def factor(place: int, strength: float, draw: float) -> float:
    """Map a draw from [0, 1) to an operation's factor in [1 - strength, 1 + strength]; around 0 for hue."""
    around = 0.0 if OPERATIONS[place] is v2.adjust_hue else 1.0
    return around + strength * (2 * draw - 1)
