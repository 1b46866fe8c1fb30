"""Loading of weights into a detector: this project's own checkpoints, and those of effdet's models.

No code in a file is run: tensors and plain data are read, all else is refused. May import torch, safetensors and nn.
"""

from __future__ import annotations

import argparse
import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from scalesearch.arch.backbone import TimmBackbone
from scalesearch.arch.spec import DetectorSpec
from scalesearch.arch.topology import Topology
from scalesearch.inputs.quoting import shortened
from scalesearch.nn.backbone import one_line
from scalesearch.nn.detector import Detector

Weights = dict[str, Tensor]

PARTS = (
    *("evaluated", "average"),
    *("state_dict_ema", "ema_state_dict", "model_ema", "ema"),
    *("model", "module", "state_dict", "model_state_dict"),
)
"""Keys of weights in a checkpoint, also nested, in order of preference: evaluated, averaged, others."""

_SCALAR: Any = np.float64(0).__reduce__()[0]
_PLAIN: list[Any] = [
    # Classes without behaviour that training scripts save beside the weights: timm's arguments, a NumPy score (also by
    # NumPy 1's name).
    argparse.Namespace,
    np.dtype,
    *(type(np.dtype(kind)) for kind in "?bhilqBHILQefd"),
    *((_SCALAR, f"numpy.{room}.multiarray.scalar") for room in ("core", "_core")),
]

_BESIDE = ("anchors.boxes", "n_averaged")
"""Names among the weights that are none: anchors of effdet's benches, the count of torch's AveragedModel."""

_PREFIX = re.compile(r"^(module\.|model\.|_orig_mod\.)+")
"""Prefixes of every name by DataParallel, effdet's benches and torch.compile."""

_PREDICTS = re.compile(r"^(class|box)_head\.predict\.")

_RENAMES = [  # effdet's names -> ours
    (r"^fpn\.resample\.\d+\.conv\.", "neck.extra."),
    (r"^fpn\.cell\.(\d+)\.fnode\.(\d+)\.combine\.edge_weights$", r"neck.cells.\1.nodes.\2.fusion.edge_weights"),
    (r"^fpn\.cell\.(\d+)\.fnode\.(\d+)\.after_combine\.conv\.bn\.", r"neck.cells.\1.nodes.\2.bn."),
    (r"^fpn\.cell\.(\d+)\.fnode\.(\d+)\.after_combine\.conv\.", r"neck.cells.\1.nodes.\2.conv."),
    (r"^(class|box)_net\.conv_rep\.", r"\1_head.convs."),
    # effdet lists its heads' norms by repeat then level, or, with head_bn_level_first, by level then repeat.
    (r"^(class|box)_net\.bn_rep\.(\d+)\.(\d+)\.bn\.", r"\1_head.norms.\2.\3."),
    (r"^(class|box)_net\.bn_rep\.(\d+)\.(\d+)\.(?=[a-z])", r"\1_head.norms.\3.\2."),
    (r"^(class|box)_net\.predict\.", r"\1_head.predict."),
]
_EDGE = re.compile(r"^fpn\.cell\.(\d+)\.fnode\.(\d+)\.combine\.resample\.(\d+)\.conv\.(.*)$")
_NODE = re.compile(r"^(fpn\.cell\.\d+\.fnode\.)(\d+)(\..*)$")


@dataclass(frozen=True, kw_only=True)
class Misfit:
    """The names and shapes of a file that do not fit a detector."""

    shapes: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]
    """Name -> (shape in the file, shape in the detector)."""
    missing: tuple[str, ...]
    """In the detector only."""
    unknown: tuple[str, ...]
    """In the file only, under the file's name where it could not be translated."""

    def __bool__(self) -> bool:
        return bool(self.shapes or self.missing or self.unknown)

    def lines(self) -> list[str]:
        """Return one line for each name."""
        found = [
            f"{name}: {list(theirs)} in the file, {list(ours)} in the detector"
            for name, (theirs, ours) in self.shapes.items()
        ]
        found += [f"{name}: not in the file" for name in self.missing]
        return found + [f"{name}: not in the detector" for name in self.unknown]

    def summary(self, file: Path, detector: nn.Module) -> str:
        """Say how many tensors fit and which is the first that does not, in at most 300 characters."""
        count = len(detector.state_dict())
        fit = count - len(self.shapes) - len(self.missing)
        return (
            f"{shortened(str(file), 60)}: weights must fit their detector, but {fit} of its {count} tensors do, "
            f"the first that does not is {shortened(self.lines()[0], 130)}"
        )


def load_weights(detector: Detector, file: Path) -> Misfit:
    """Load weights and statistics of `file` into `detector`; return which predicting convolutions were left out.

    Those may have another shape (other classes, other anchors): they keep their values and are reported. Any other
    misfit is a ValueError with the first name and both shapes, and leaves the detector unchanged.
    """
    weights = read_finite(file, detector.spec)
    misfit = misfit_of(weights, detector)
    allowed = {name: pair for name, pair in misfit.shapes.items() if _PREDICTS.match(name)}
    rest = Misfit(
        shapes={name: pair for name, pair in misfit.shapes.items() if name not in allowed},
        missing=misfit.missing,
        unknown=misfit.unknown,
    )
    if rest:
        raise ValueError(f"{rest.summary(file, detector)}; are these the weights of another detector?")
    detector.load_state_dict({name: value for name, value in weights.items() if name not in allowed}, strict=False)
    return Misfit(shapes=allowed, missing=(), unknown=())


def read_finite(file: Path, spec: DetectorSpec) -> Weights:
    """Read the weights of `file` under this project's names. ValueError as `read_weights`, and for one that no detector
    can run with."""
    weights = translated(read_weights(file), spec)
    for name, value in weights.items():
        if wrong := _no_weight(value):
            raise ValueError(f"{file}: weights are dense tensors of numbers, but {shortened(name, 100)} is {wrong}")
    if bad := [name for name, value in weights.items() if value.is_floating_point() and not value.isfinite().all()]:
        more = f" (and {len(bad) - 1} more)" if bad[1:] else ""
        raise ValueError(f"{file}: weights must be finite, but {bad[0]}{more} is not: take an earlier checkpoint")
    return weights


def misfit_of(weights: Mapping[str, Tensor], detector: Detector) -> Misfit:
    """Return where translated weights and a detector differ in names or shapes."""
    own = detector.state_dict()
    shapes = {
        name: (tuple(value.shape), tuple(own[name].shape))
        for name, value in weights.items()
        if name in own and value.shape != own[name].shape
    }
    # Batch counters are no weights, and older files have none.
    missing = tuple(name for name in own if name not in weights and not name.endswith("num_batches_tracked"))
    return Misfit(shapes=shapes, missing=missing, unknown=tuple(name for name in weights if name not in own))


def _no_weight(value: Tensor) -> str:
    """Say why a detector cannot run with this tensor; '' where it can."""
    if value.layout is not torch.strided or value.is_quantized or value.is_meta:
        return "sparse, quantized or without values"
    return f"of {value.dtype}" if value.is_complex() or value.dtype is torch.bool else ""


# ---- reading ----


def read_weights(file: Path) -> Weights:
    """Read the weights of a `.safetensors`, `.pth` or `.pt` file by name, averaged ones where it has both.

    Raises FileNotFoundError, and ValueError for a file that is damaged, has no weights, or holds anything but tensors
    and plain data (none of which is run).
    """
    must_exist(file)
    if file.suffix == ".safetensors":
        try:
            return _stripped(load_file(file))
        except SafetensorError as error:
            raise ValueError(f"{file}: a .safetensors file must be whole, but got {error}") from None
    found = unpickled(file)
    if (weights := _weights(found)) is None:
        raise ValueError(
            f"{file}: a checkpoint must be a state dict, or hold one under {', '.join(PARTS)}, but got "
            + (f"the keys {', '.join(map(str, list(found)[:8]))}" if isinstance(found, dict) else type(found).__name__)
        )
    return _stripped(weights)


def _weights(found: Any) -> Weights | None:
    """Return the tensors of the first of PARTS that has any, else of `found` itself; None without any."""
    if not isinstance(found, dict):
        return None
    parts = (_weights(found.get(part)) for part in PARTS)
    own = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
    return next((weights for weights in parts if weights), own or None)


def must_exist(file: Path) -> None:
    """Raise FileNotFoundError where there is no such file."""
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file of weights")


def unpickled(file: Path) -> Any:
    """Return the content of a torch checkpoint. ValueError unless it is tensors and plain data only."""
    try:
        with torch.serialization.safe_globals(_PLAIN), warnings.catch_warnings():
            # Sparse tensors are refused by name later; that they are looked through is no news to a user.
            message = "Validating sparse tensor invariants|Sparse invariant checks"  # as torch 2.14 says it, and 2.11
            warnings.filterwarnings("ignore", message, UserWarning)
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        needed = re.search(r"(?:GLOBAL|global) (\S+)", str(error))
        raise ValueError(
            f"{file}: a file of weights must hold tensors and plain data only, but this one "
            f"{f'asks for {needed[1]}' if needed else 'is damaged or no checkpoint of torch'}; nothing of it was run"
        ) from None
    except Exception as error:  # noqa: BLE001 - for invalid bytes torch's reader raises IndexError, OSError, ...
        # Only torch's first sentence: later ones may advise running the file's code.
        first = one_line(error).split(". ")[0]
        raise ValueError(f"{file}: not a checkpoint of torch, or a damaged one ({first})") from None


def _stripped(weights: Weights) -> Weights:
    """Remove wrappers' prefixes, and entries that are no weights."""
    named = {_PREFIX.sub("", name): value for name, value in weights.items()}
    return {name: value for name, value in named.items() if name not in _BESIDE}


# ---- effdet's names ----


def translated(weights: Weights, spec: DetectorSpec) -> Weights:
    """Return `weights` under this project's names; effdet's are recognised by `fpn.` and `class_net.`."""
    if not any(name.startswith(("fpn.", "class_net.", "box_net.")) for name in weights):
        return weights
    order = effdet_order(spec.topology)
    return {_ours(name, spec, order): value for name, value in weights.items()}


def effdet_order(topology: Topology) -> list[int]:
    """Return for each of effdet's nodes the position of ours; effdet ends with one node per level, finest first.

    That is the order of all topologies but QuFPN, whose last nodes are coarsest first here, as in google/automl.
    """
    places, span = list(range(len(topology.nodes))), len(topology.levels)
    last = places[-span:]
    if sorted(topology.nodes[i].level for i in last) != list(topology.levels):
        return places
    return places[:-span] + sorted(last, key=lambda i: topology.nodes[i].level)


def _ours(name: str, spec: DetectorSpec, order: list[int]) -> str:
    """Return this project's name for one of effdet's weights; the same name where there is none."""
    if isinstance(spec.backbone, TimmBackbone) and name.startswith("backbone."):
        return name.replace("backbone.", "backbone.model.", 1)
    if match := _EDGE.match(name):
        cell, node, source, rest = match.groups()
        place = order[int(node)] if int(node) < len(order) else -1
        inputs = spec.topology.nodes[place].inputs if place >= 0 else ()
        if int(source) not in inputs:
            return name
        return f"neck.cells.{cell}.nodes.{place}.edges.{inputs.index(int(source))}.lateral.{rest}"
    if (match := _NODE.match(name)) and int(match[2]) < len(order):
        name = f"{match[1]}{order[int(match[2])]}{match[3]}"
    for pattern, replacement in _RENAMES:
        name = re.sub(pattern, replacement, name)
    return name
