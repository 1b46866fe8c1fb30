"""The optimiser of a recipe and its learning rate at a step. Imports torch, arch, nn and plan."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import nn

from scalesearch.arch.depth import effective_depth
from scalesearch.nn.detector import Detector
from scalesearch.plan.recipe import Recipe


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Make AdamW or SGD with momentum; weight decay on kernels only (EfficientDet sec. 5.1).

    Biases, batch norms and scalar fusion weights have at most one dimension and are not decayed. Frozen parameters are in
    it, too, so that they can be trained later; without gradient they take neither step nor memory.
    """
    groups = _groups(list(model.parameters()), recipe.weight_decay)
    if recipe.backbone_lr != 1 or recipe.rate_width or recipe.rate_depth:
        by_factor: dict[float, list[nn.Parameter]] = {}
        named = sorted(model.named_parameters(), key=lambda item: item[0].startswith("backbone."))  # the others first
        for name, parameter in named:
            factor = recipe.backbone_lr if name.startswith("backbone.") else rate_factor(model, name, parameter, recipe)
            by_factor.setdefault(factor, []).append(parameter)
        groups = [
            group | {"factor": factor}
            for factor, part in by_factor.items()
            for group in _groups(part, recipe.weight_decay)
            if group["params"]
        ]
    # Fused: one kernel for all, instead of a call for each of hundreds of small parameters.
    if recipe.optimizer == "sgd":
        nesterov = recipe.nesterov and recipe.momentum > 0
        return torch.optim.SGD(groups, lr=0.0, momentum=recipe.momentum, nesterov=nesterov, fused=True)
    return torch.optim.AdamW(groups, lr=0.0, fused=True)


def rate_factor(model: nn.Module, name: str, parameter: nn.Parameter, recipe: Recipe) -> float:
    """Return the factor of the learning rate of a parameter behind the backbone, by the detector's width and depth.

    Kernels that read as many channels as the network is wide take rate_width / channels (Yang et al., Tensor Programs V,
    arXiv 2203.03466, Table 3, Adam: hidden and output weights). Depthwise kernels read one channel and laterals the
    backbone's; these, norms and biases keep their rate.
    """
    factor = 1.0
    if recipe.rate_width and parameter.ndim == 4 and parameter.shape[1] > 1 and "lateral" not in name:
        factor = recipe.rate_width / parameter.shape[1]
    if recipe.rate_depth:
        factor *= (recipe.rate_depth / effective_depth(cast(Detector, model).spec)) ** 1.5
    return factor


def _groups(parameters: list[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    kernels = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim <= 1]
    return [{"params": kernels, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def begin_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Give parameters with a first gradient a momentum of 0, from which SGD's next step is its first step.

    torch's fused SGD does so only for all at once, and by memory that its first step fills: where that step is skipped
    for an overflow, the momentum is what the memory held before, and parameters that join later raise TypeError.
    """
    for group in optimizer.param_groups:
        if not group.get("momentum"):
            continue
        for parameter in group["params"]:
            if parameter.grad is not None and optimizer.state[parameter].get("momentum_buffer") is None:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next step, times the group's factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("factor", 1.0)


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Return the rate at the `step`-th (from 0) of `steps`: linear warm-up from 0, then a cosine to 0 at the end.

    google/automl counts the cosine's steps from the start of the warm-up, so that its rate jumps at the end of the
    warm-up and rises again at the end of training. That is not copied.
    """
    warmup = recipe.warmup * steps
    if step < warmup:
        return recipe.peak * (step + 1) / (warmup + 1)
    return recipe.peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1.0, steps - warmup)))
