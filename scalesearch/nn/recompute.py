"""Gradient checkpointing: activations are recomputed in the backward pass instead of kept.

Outputs, gradients and running statistics are the same. A step takes about a third longer. Imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def set_recompute(model: nn.Module, on: bool = True) -> None:
    """Switch checkpointing for every part of a detector that has it: the blocks of an EfficientNet, other backbones as
    a whole, the cells of the feature network, the heads level by level."""
    for module in model.modules():
        if hasattr(type(module), "recompute"):
            setattr(module, "recompute", on)  # noqa: B010 - a module's attributes have no types


def call(run: Callable[..., Any], *args: Any, inside: nn.Module, recompute: bool) -> Any:
    """Call `run(*args)`, a part of the module `inside`; with `recompute`, run it again in the backward pass."""
    if not (recompute and torch.is_grad_enabled()):
        return run(*args)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _counted_once(inside)

    return checkpoint(run, *args, use_reentrant=False, context_fn=contexts)


@contextmanager
def _counted_once(module: nn.Module) -> Iterator[None]:
    """Keep batch norms from updating their running statistics a second time; they still normalise by the batch.

    They update copies meanwhile: synchronized norms insist on all three statistics, and the checkpoint on as many tensors
    as were saved in the forward pass.
    """
    norms = [one for one in module.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm) and one.training]
    before = [{name: getattr(norm, name) for name in _STATISTICS} for norm in norms]
    for norm, own in zip(norms, before, strict=True):
        for name, value in own.items():
            setattr(norm, name, None if value is None else value.clone())
    try:
        yield
    finally:
        for norm, own in zip(norms, before, strict=True):
            for name, value in own.items():
                setattr(norm, name, value)


_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
