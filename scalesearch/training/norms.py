"""Checks that batch norms have enough values for statistics: one is not enough. Imports arch and plan."""

from __future__ import annotations

from scalesearch.arch.spec import DetectorSpec
from scalesearch.plan.recipe import Recipe

FEW = 8
"""Values per channel below which mean and variance are mostly chance."""


def norm_values(spec: DetectorSpec, batch: int) -> tuple[int, int]:
    """Return (level, values per channel) of the feature network's batch norm with the fewest values."""
    return min(((level, batch * _cells(spec, level)) for level in spec.levels), key=lambda pair: pair[1])


def check_norms(spec: DetectorSpec, recipe: Recipe, images: int | None = None) -> None:
    """Raise ValueError where a batch norm would have one value per channel, which torch refuses at the first step.

    `images` is the number of training images, once known; a batch has at most that many.
    """
    batch = min(recipe.batch, images or recipe.batch)
    level, values = norm_values(spec, batch)
    if values > 1 or recipe.freeze_norms:
        return
    height, width = spec.size
    mend = "set batch to 2 or more" if images is None or images > 1 else "add images"
    raise ValueError(
        f"batch norm needs more than one value a channel, but the map of level {level} is 1x1 at {height}x{width} and a "
        f"batch is of one image: {mend}, or a larger size, or freeze_norms=true"
    )


def advice(spec: DetectorSpec, recipe: Recipe, batch: int) -> str:
    """Say what to change after a non-finite loss: batch if batch norms have few values, else learning rate or clip."""
    level, values = norm_values(spec, batch)
    if values < FEW and not recipe.freeze_norms:
        return (
            f"raise batch, since batch norms of level {level} have {values} values a channel here, or set "
            "freeze_norms=true, or lower learning_rate"
        )
    return f"lower learning_rate or {'clip' if recipe.clip else 'set clip (10 is usual)'}"


def _cells(spec: DetectorSpec, level: int) -> int:
    rows, columns = spec.map_size(level)
    return rows * columns
