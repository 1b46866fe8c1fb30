"""Initial weights from a file: a whole detector's, also one with another neck or heads, or a backbone's alone.

A backbone's tensors are found by name (timm's, torchvision's ResNets), else by order and shape (torchvision's and
lukemelas' EfficientNets): modules that are declared in the same order list the same shapes. May import torch and nn.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from scalesearch.inputs.quoting import shortened
from scalesearch.nn.checkpoints import Weights, misfit_of, read_finite
from scalesearch.nn.detector import Detector

_PARTS = {"backbone": "backbone", "neck": "feature network", "class_head": "class head", "box_head": "box head"}
_INSIDE = re.compile(r"^(backbone\.|model\.)+")
_KINDS = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True, kw_only=True)
class _Match:
    """A backbone's tensors found in a file."""

    tensors: Weights
    """By the detector's names."""
    how: str


def start_from(detector: Detector, file: Path) -> tuple[str, ...]:
    """Load what fits of `file` into `detector`, and return a line for what was not taken or not found by name.

    A file of a backbone alone must have all of it. One of a detector must have all of this one's backbone; tensors of
    the feature network and the heads are taken where name and shape agree, the others keep their values. ValueError
    for another file, which leaves the detector unchanged.
    """
    weights = read_finite(file, detector.spec)
    if not any(name.startswith(("neck.", "class_head.", "box_head.")) for name in weights):
        match = _matched(detector, weights, file)
        detector.load_state_dict(match.tensors, strict=False)
        return (f"{file.name}: all {len(match.tensors)} tensors of the backbone taken {match.how}",)
    misfit = misfit_of(weights, detector)
    if all(name.partition(".predict.")[1] for name in misfit.shapes) and not (misfit.missing or misfit.unknown):
        fitting = {name: value for name, value in weights.items() if name not in misfit.shapes}
        detector.load_state_dict(fitting, strict=False)
        return tuple(f"not taken from {file.name}: {line}" for line in misfit.lines())
    backbone = _matched(detector, _part(weights, "backbone"), file).tensors
    own = detector.state_dict()
    rest = {
        name: value
        for name, value in weights.items()
        if not name.startswith("backbone.") and name in own and value.shape == own[name].shape
    }
    detector.load_state_dict({**backbone, **rest}, strict=False)
    return (_counted(detector, {**backbone, **rest}, file),)


def _counted(detector: Detector, taken: Weights, file: Path) -> str:
    """Say how many tensors of each part of the detector were taken."""
    own = _tensors(detector.state_dict())
    counts = []
    for part, called in _PARTS.items():
        fit = len(_tensors(_part(taken, part)))
        counts.append(f"{called} {fit} of {len(_part(own, part))}")
    return f"{file.name}: {len(_tensors(taken))} of {len(own)} tensors taken ({', '.join(counts)}), the others start at random"


def _part(weights: Mapping[str, Tensor], part: str) -> Weights:
    return {name: value for name, value in weights.items() if name.startswith(f"{part}.")}


def _tensors(weights: Mapping[str, Tensor]) -> Weights:
    """Return the weights without batch counters, which older files lack and nothing reads."""
    return {name: value for name, value in weights.items() if not name.endswith("num_batches_tracked")}


def _matched(detector: Detector, weights: Weights, file: Path) -> _Match:
    """Return all tensors of the detector's backbone from a file's. ValueError where one is missing or has another shape."""
    own, theirs = _tensors(_part(detector.state_dict(), "backbone")), _tensors(weights)
    named = {_key(name): value for name, value in theirs.items()}
    found = {name: named[_key(name)] for name in own if _key(name) in named}
    if len(found) == len(own) and all(found[name].shape == value.shape for name, value in own.items()):
        return _Match(tensors=found, how="by name")
    pairs = list(zip(own.items(), theirs.items(), strict=False))
    alike = [mine.shape == other.shape and _same_kind(name, called) for (name, mine), (called, other) in pairs]
    # A .safetensors file lists its tensors in an order of its own.
    if not found and len(pairs) == len(own) and all(alike) and file.suffix != ".safetensors":
        tensors = {name: other for (name, _), (_, other) in pairs}
        first, called = next(iter(own)), next(iter(theirs))
        return _Match(tensors=tensors, how=f"by order and shape, as its names are others ({called} for {_bare(first)})")
    raise ValueError(
        f"{shortened(str(file), 60)}: weights must fit their backbone, but of {len(own)} tensors of "
        f"{detector.spec.backbone.name} {len(found)} are there by name and the first {(*alike, False).index(False)} by order and "
        f"shape; {_first_misfit(own, named, theirs)}: are these the weights of another model?"
    )


def _first_misfit(own: Weights, named: Weights, theirs: Weights) -> str:
    """Say which tensor does not fit: by name where most names are there, else by order."""
    if any(_key(name) in named for name in own):
        for name, mine in own.items():
            other = named.get(_key(name))
            if other is None or other.shape != mine.shape:
                has = "is not in the file" if other is None else f"is {list(other.shape)} in the file"
                return shortened(f"{_bare(name)}, {list(mine.shape)}, {has}", 110)
    for (name, mine), (called, other) in zip(own.items(), theirs.items(), strict=False):
        if mine.shape != other.shape or not _same_kind(name, called):
            return shortened(f"{_bare(name)} is {list(mine.shape)}, {called} in its place {list(other.shape)}", 110)
    return f"the file has {len(theirs)}"


def _same_kind(name: str, called: str) -> bool:
    """Whether both are, or may be, the same tensor of a norm: a mean is no weight, though its shape is."""
    mine, other = name.rpartition(".")[2], called.rpartition(".")[2]
    return mine == other or other not in _KINDS


def _bare(name: str) -> str:
    return _INSIDE.sub("", name)


def _key(name: str) -> str:
    """Return the name for comparison: timm's features_only joins with `_` what its models join with a dot."""
    return _bare(name).replace(".", "_")
