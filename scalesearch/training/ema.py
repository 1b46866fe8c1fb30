"""The moving average of weights, which is evaluated. Imports torch."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class Average:
    """An exponential moving average of a model's parameters and batch-norm statistics (EfficientDet sec. 5.1).

    The decay warms up as min(decay, (1 + t) / (10 + t)), so that a short run does not evaluate its initial weights. A
    decay of 0 follows the model exactly.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.decay, self._followed = decay, model
        self._mine, self._theirs = _floats(self.model), _floats(model)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Update with the model after `step` optimiser steps (from 1)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._mine, self._theirs, 1 - decay)

    def share(self, part: str, other: Average) -> None:
        """Take the other's average of a part that is never trained; it is not updated here any more."""
        setattr(self.model, part, getattr(other.model, part))
        self._mine, self._theirs = (_floats(model, (f"{part}.",)) for model in (self.model, self._followed))


def _floats(model: nn.Module, without: tuple[str, ...] = ()) -> list[Tensor]:
    tensors = [*model.named_parameters(), *model.named_buffers()]
    return [one.detach() for name, one in tensors if one.is_floating_point() and not name.startswith(without)]
