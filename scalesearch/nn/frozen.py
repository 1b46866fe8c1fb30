"""Frozen stages of a detector's backbone: no gradient, no kept maps, norms with fixed statistics.

Autograd keeps nothing of what no trained parameter comes before, so a frozen stem costs its forward pass alone. Imports
arch and torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from scalesearch.arch.backbone import EfficientNet, TimmBackbone
from scalesearch.arch.spec import DetectorSpec
from scalesearch.nn.backbone import TimmFeatures
from scalesearch.nn.detector import Detector


def frozen_names(detector: Detector, freeze: str) -> frozenset[str]:
    """Return the names of the parameters that `freeze` (of a recipe) means: none, all of the backbone, or those that the
    map of that level depends on. ValueError for a backbone without a map at that level."""
    spec = detector.spec
    names = [name for name, _ in detector.named_parameters() if name.startswith("backbone.")]
    if freeze == "none":
        return frozenset()
    if freeze == "backbone" or int(freeze) >= spec.backbone_levels[-1]:
        return frozenset(names)
    below = _below(spec, int(freeze))
    return frozenset(name for name in names if name.startswith(below))


def _below(spec: DetectorSpec, level: int) -> tuple[str, ...]:
    """Return the beginnings of the names of the parameters that the map of `level` depends on."""
    match spec.backbone:
        case EfficientNet():
            stages = len(spec.backbone.cut(level))
            return ("backbone.conv_stem.", "backbone.bn1.", *(f"backbone.blocks.{i}." for i in range(stages)))
        case TimmBackbone(name=name):
            # What has a gradient from that map, on the meta device: models do not say where their stages begin.
            try:
                with torch.device("meta"):
                    probe = TimmFeatures(name, [level], spec.size).eval()
                    (x,) = probe(torch.empty(1, 3, *spec.size))
            except ValueError as error:
                raise ValueError(f"freeze: {level} is up to the map of that level, but {error}") from None
            x.sum().backward()
            return tuple(f"backbone.{name}" for name, one in probe.named_parameters() if one.grad is not None)


def set_frozen(model: nn.Module, names: frozenset[str]) -> None:
    """Let all parameters but those of these names be trained."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in names)


def same_tensors(one: nn.Module, other: nn.Module) -> bool:
    """Whether two modules have the same parameters and buffers, to the bit."""
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def outputs_together(models: Sequence[nn.Module], images: Tensor) -> Iterator[Any]:
    """Yield each model's outputs of images [B, 3, H, W]; several are detectors that share a backbone, passed once."""
    if len(models) == 1:
        yield models[0](images)
        return
    detectors = cast(Sequence[Detector], models)
    maps = detectors[0].backbone(images)
    for detector in detectors:
        yield detector.from_maps(maps)


def train_unfrozen(model: nn.Module) -> None:
    """Switch the model to training, and its parts without a trained parameter to evaluation: their norms and dropouts."""
    model.train()
    _still(model)


def _still(module: nn.Module) -> None:
    for child in module.children():
        own = [parameter.requires_grad for parameter in child.parameters()]
        if own and not any(own):
            child.eval()
        elif own:
            _still(child)
