"""A model through torch.compile, or an error that says why not. Imports torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException
from torch._inductor.exc import InductorError


def compiled(model: nn.Module) -> Callable[[Tensor], Any]:
    """Return the forward pass of `model`, compiled at the first call; `model` keeps its weights and mode.

    It never falls back to eager: ValueError where this machine cannot compile (no C++ compiler, say).
    """
    run = torch.compile(model)

    def forward(images: Tensor) -> Any:
        try:
            return run(images)
        except (TorchDynamoException, InductorError) as error:
            raise ValueError(f"compile: true did not work here ({_first_line(error)}): set compile: false") from error

    return forward


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]
