"""A model through torch.compile, or an error that says why not. Imports torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException
from torch._inductor.exc import InductorError

MOST = 64
"""Most compiled forms of one function: of as many models as train in turns in one process."""


def compiled(model: nn.Module) -> Callable[[Tensor], Any]:
    """Return the forward pass of `model`, compiled at the first call; `model` keeps its weights and mode.

    It never falls back to eager: ValueError where this machine cannot compile (no C++ compiler, say). What was compiled
    before in this process is dropped, and compiled again where it is still called.
    """
    # torch counts the compiled forms of a function over all models of a process. After eight architectures it would run
    # the ninth as it is, and say so only in a log.
    torch.compiler.reset()
    run = torch.compile(model)

    def forward(images: Tensor) -> Any:
        try:
            with torch._dynamo.config.patch(recompile_limit=MOST, fail_on_recompile_limit_hit=True):
                return run(images)
        except (TorchDynamoException, InductorError, FailOnRecompileLimitHit) as error:
            raise ValueError(f"compile: true did not work here ({_first_line(error)}): set compile: false") from error

    return forward


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]
