"""How much of the spread of AP each axis of a space accounts for; `mirror/importance.py` computes it by Optuna."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Importance(NamedTuple):
    """The share of the variance of AP that an axis alone accounts for."""

    axis: str
    share: float
    """Mean over resamples of the trials; the shares of all axes sum to 1."""
    low: float
    """10 % quantile over the resamples."""
    high: float
    """90 % quantile over the resamples."""


class Importances(NamedTuple):
    """The importance of all axes that vary, largest first."""

    axes: tuple[Importance, ...]
    trials: int
    epochs: int
    """Epochs after which the AP was taken: those that every trial reached."""


def leading(found: Sequence[Importance]) -> list[Importance]:
    """Return the axis with the largest share and those whose intervals overlap its: which of them leads is not known."""
    first = max(found, key=lambda one: one.share)
    return [first, *(one for one in found if one is not first and one.high >= first.low)]
