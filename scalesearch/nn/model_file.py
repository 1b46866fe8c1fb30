"""The description in a file of weights: its detector and classes, as text beside the weights.

Checkpoints carry it under the key KEY, `.safetensors` files in their metadata, ONNX files as properties.
May import arch, torch, safetensors and nn.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from scalesearch.arch import spec as specs
from scalesearch.arch.spec import DetectorSpec
from scalesearch.inputs.documents import parse_json
from scalesearch.inputs.typed import fields_of
from scalesearch.io.marks import DETECTOR
from scalesearch.io.publish import publish_or_keep
from scalesearch.nn.checkpoints import load_weights, must_exist, unpickled
from scalesearch.nn.detector import Detector

KEY = DETECTOR

Classes = tuple[tuple[int, str], ...]
"""For each label, in order, its COCO category id and name."""


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """The description of a file's weights."""

    spec: DetectorSpec
    """Its timm backbone, if it has one, is not measured."""
    classes: Classes
    evaluated: bool = True
    """Whether the batch-norm statistics are those that were evaluated: not so in the checkpoint of a training that was
    interrupted between evaluations."""


def description_text(spec: DetectorSpec, classes: Sequence[tuple[int, str]]) -> str:
    """Return the description as JSON text; `described` is its inverse."""
    return json.dumps({"spec": specs.to_dict(spec), "classes": [list(pair) for pair in classes]}, ensure_ascii=False)


def read_description(file: Path) -> ModelDescription | None:
    """Read the description of a file; None without one, as in effdet's files and in older ones of ours.

    Raises FileNotFoundError, and ValueError for a file that is damaged or whose description has no detector.
    """
    must_exist(file)
    evaluated = True
    if file.suffix == ".safetensors":
        text = _metadata(file).get(KEY)
    else:
        found = unpickled(file)
        text = found.get(KEY) if isinstance(found, dict) else None
        evaluated = isinstance(found, dict) and "evaluated" in found
    if not isinstance(text, str):
        return None
    return replace(described(text, file), evaluated=evaluated)


def described(text: str, file: Path) -> ModelDescription:
    """Parse the text of `description_text`, found in `file`. ValueError where it describes no detector."""
    try:
        found = fields_of(parse_json(text), _Description, "it", {"spec": specs.from_dict})
    except ValueError as error:
        raise ValueError(f"{file}: its {KEY!r} must describe a detector and its classes, but {error}") from None
    return ModelDescription(spec=found.spec, classes=found.classes)


@dataclass(frozen=True)
class _Description:
    """The fields of `description_text`."""

    spec: DetectorSpec
    classes: Classes


def load_trained(detector: Detector, file: Path) -> None:
    """Load all weights of `file` into `detector`. ValueError where any does not fit, predicting ones included."""
    if misfit := load_weights(detector, file):
        raise ValueError(f"{misfit.summary(file, detector)}; are these of other classes or anchors?")


def save_weights(detector: Detector, classes: Classes, file: Path) -> None:
    """Write the detector's weights with their description as a .safetensors file."""
    tensors = {name: value.detach().contiguous().cpu() for name, value in detector.state_dict().items()}
    publish_or_keep(file, save(tensors, metadata={KEY: description_text(detector.spec, classes)}))


def _metadata(file: Path) -> dict[str, str]:
    try:
        with safe_open(file, framework="pt") as opened:
            return dict(opened.metadata() or {})
    except SafetensorError as error:
        raise ValueError(f"{file}: a .safetensors file must be whole, but got {error}") from None
