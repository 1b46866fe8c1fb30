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

    def __init__(self, model: nn.Module, decay: float, *, fixed: tuple[str, ...] = ()) -> None:
        """Parts of the model whose names begin with one of `fixed` are never trained, and cost nothing here."""
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.decay = decay
        self._mine, self._theirs = _floats(self.model, fixed), _floats(model, fixed)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Update with the model after `step` optimiser steps (from 1)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._mine, self._theirs, 1 - decay)


def _floats(model: nn.Module, without: tuple[str, ...]) -> list[Tensor]:
    tensors = [*model.named_parameters(), *model.named_buffers()]
    return [one.detach() for name, one in tensors if one.is_floating_point() and not name.startswith(without)]
