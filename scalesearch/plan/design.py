"""One detector, as a user names it: a published name, a file of fields, or a row of results."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scalesearch.arch import spec as specs
from scalesearch.arch.scaling import PUBLISHED, named
from scalesearch.arch.space import Space
from scalesearch.arch.spec import Anchors, DetectorSpec
from scalesearch.plan.nodes import PlanError
from scalesearch.plan.reader import read_section
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.sections import read_anchors, read_axes, read_detector, read_recipe


def read_design(design: str, classes: int | None = None, size: str | None = None) -> DetectorSpec:
    """The detector called `design`: d0 .. d7, or a file; `classes` and `size` (HxW) win over it.

    A file is JSON with a detector's fields as results write them, or a row of results; or YAML with the sections
    `space` (constants only), `detector`, `anchors` and `classes` as a plan writes them.
    Raises ValueError for a name that is neither, or a file that is no detector.
    """
    if design in PUBLISHED:
        spec = named(design, classes=classes or 90)
    elif Path(design).is_file():
        spec = _from_file(Path(design))
    else:
        raise ValueError(f"a design is one of {', '.join(PUBLISHED)} or a file, but {design!r} is neither")
    changes: dict[str, Any] = {"classes": classes} if classes else {}
    if size:
        changes["size"] = _size(size)
    return dataclasses.replace(spec, **changes)


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match:
        raise ValueError(f"a size is HEIGHTxWIDTH in pixels, as 384x640, but got {text!r}")
    return int(match[1]), int(match[2])


def _from_file(path: Path) -> DetectorSpec:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return _from_sections(path)
    if isinstance(data, Mapping) and isinstance(data.get("spec"), Mapping):
        data = data["spec"]
    if not isinstance(data, Mapping):
        raise PlanError(f"{path}: a detector is a mapping of its fields, but this is {type(data).__name__}")
    try:
        return specs.from_dict(data)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise PlanError(f"{path}: {error}") from None


def _from_sections(path: Path) -> DetectorSpec:
    top = read_section(path)
    section = top.section("space")
    axes, anchors = read_axes(section), read_anchors(top.get("anchors"))
    fixed, classes = read_detector(top.section("detector")), top.integer("classes", 90, low=1)
    top.done()
    try:
        space = Space(axes=axes, classes=classes, fixed=fixed, anchors=Anchors() if anchors == "auto" else anchors)
        if space.free:
            raise ValueError(f"one detector has one value on each axis, but {next(iter(space.free))} has several")
        return space.spec({})
    except ValueError as error:
        raise section.blamed(error) from None


def read_recipe_file(path: Path | None, overrides: Sequence[str]) -> Recipe:
    """The recipe in a YAML file of its fields (the defaults without one), overrides such as `epochs=10` put in place.

    PlanError with file and line, or the override.
    """
    return read_recipe(read_section(path, overrides), Recipe())
