"""Readers of a user's design, feature network and recipe: a published name or preset, or a file."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scalesearch.arch import spec as specs
from scalesearch.arch.networks import TOPOLOGIES
from scalesearch.arch.scaling import PUBLISHED, named, retinanet_nasfpn
from scalesearch.arch.spec import Anchors, DetectorSpec
from scalesearch.arch.topology import FUSIONS, Topology
from scalesearch.inputs.documents import JsonError, parse_json
from scalesearch.inputs.quoting import quoted
from scalesearch.plan.axes import read_axes
from scalesearch.plan.graph_file import NamedGraphs, read_graph_file
from scalesearch.plan.plan import read_plan
from scalesearch.plan.reader import read_section
from scalesearch.plan.recipe import PRESETS, Recipe
from scalesearch.plan.sections import read_anchors, read_detector, read_recipe
from scalesearch.plan.yaml_tree import PlanError
from scalesearch.space.space import Choices, Space

logger = logging.getLogger(__name__)

DESIGNS = (*PUBLISHED, "retinanet_nasfpn")
"""The published detectors."""

UNFITTED = (
    f"anchors: auto is not fitted here; {Anchors().per_cell} anchors at a position are assumed, a training may fit 12"
)
"""What a price says of anchors that the boxes of the data decide."""

_ELSEWHERE = re.compile(r"(?:tf_)?(?:efficientdet[-_ ]?)?(d[0-7]x?|lite[0-4])(?:_ap)?", re.IGNORECASE)
"""The names in effdet, timm and papers: tf_efficientdet_d0, EfficientDet-D0."""


def published_name(design: str) -> str:
    """Return our name of a published detector that has its name elsewhere; any other text unchanged."""
    match = _ELSEWHERE.fullmatch(design)
    return match[1].lower() if match and match[1].lower() in PUBLISHED else design


def read_design(design: str, classes: int | None = None, size: str | None = None) -> DetectorSpec:
    """Return the detector called `design`: d0 .. lite4, retinanet_nasfpn, or a file.

    `classes` and `size` (HxW) override its own. A published name may also be that of elsewhere, as EfficientDet-D0.

    A file is JSON with the fields of a detector as in results, a row of results, or the output of `cost --json`; or
    YAML with a plan's sections `space` (constants only), `topology` (a graph), `detector`, `anchors` and `classes`.
    FILE#NAME is the baseline of that name in a plan, as a member of the family that `fit -o` writes.
    Raises ValueError for a name that is neither, or a file that is no detector.
    """
    if published_name(design) in PUBLISHED:
        spec = named(published_name(design), classes=classes or 90)
    elif design in DESIGNS:
        spec = retinanet_nasfpn(classes=classes or 90)
    elif Path(design).is_file():
        spec = _from_file(Path(design))
    elif member := _baseline(design):
        spec = _from_plan(*member)
    else:
        raise ValueError(f"a design is one of {', '.join(DESIGNS)} or a file, but {quoted(design)} is neither")
    changes: dict[str, Any] = {"classes": classes} if classes else {}
    if size:
        changes["size"] = read_size(size)
    return dataclasses.replace(spec, **changes)


def fits_anchors(design: str) -> bool:
    """Whether the file has `anchors: auto`: its spec has the published anchors until they are fitted to boxes."""
    file = member[0] if (member := _baseline(design)) else Path(design)
    if design in DESIGNS or not file.is_file():
        return False
    with contextlib.suppress(JsonError):
        parse_json(file.read_bytes())
        return False  # a detector's own fields
    try:
        value = read_section(file).get("anchors")
    except PlanError:
        return False
    if member and value is None:  # a plan's default
        return True
    return value is not None and value.is_word("auto")


def unfitted_note(design: str) -> str:
    """Return the line that says how `read_design` reads `anchors: auto`; empty for a design without it."""
    return f"{design}: {UNFITTED}" if fits_anchors(design) else ""


def read_network(design: str, levels: str | None = None, fusion: str | None = None) -> Topology:
    """Return the feature network called `design`: a published one, a detector as for `read_design`, or a graph's file.

    `levels` (as 3..7) is for published networks; `fusion` replaces that of each node that is no gate.
    Raises ValueError if `design` is none of these.
    """
    design = published_name(design)
    if levels and design not in TOPOLOGIES:
        raise ValueError(f"levels are chosen for {', '.join(TOPOLOGIES)}, but {design!r} has its own; leave them out")
    if fusion and fusion not in FUSIONS:
        raise ValueError(f"a fusion is one of {', '.join(FUSIONS)}, but got {quoted(fusion)}")
    if design in TOPOLOGIES:
        topology = TOPOLOGIES[design](*_span(levels or "3..7"))
    elif design not in DESIGNS and not Path(design).is_file():
        raise ValueError(
            f"a feature network is one of {', '.join(TOPOLOGIES)}, a detector ({', '.join(DESIGNS)}) or a file, "
            f"but {quoted(design)} is none of them"
        )
    elif design not in DESIGNS and _is_graph(Path(design)):
        graph = read_graph_file(Path(design))
        topology = graph.topology
        for note in graph.notes:
            logger.warning(note)
    else:
        topology = read_design(design).topology
    return topology.fused(fusion) if fusion else topology


def _is_graph(path: Path) -> bool:
    try:
        return read_section(path).keys == ("topology",)
    except PlanError:
        return False  # `read_design` reports what is wrong with it.


def _span(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9])(?:\.\.|-)([0-9])", text)
    if not match:
        raise ValueError(f"levels are FINEST..COARSEST, as 3..7, but got {quoted(text)}")
    return int(match[1]), int(match[2])


def read_size(text: str) -> tuple[int, int]:
    """Read `384x640` as (height, width); ValueError for anything else."""
    match = re.fullmatch(r"([0-9]{1,6})x([0-9]{1,6})", text)
    if not match:
        raise ValueError(f"a size is HEIGHTxWIDTH in pixels, as 384x640, but got {quoted(text)}")
    return int(match[1]), int(match[2])


def _baseline(design: str) -> tuple[Path, str] | None:
    """Return the file and the name of FILE#NAME; None where there is no such file, or the text names a file itself."""
    file, mark, name = design.rpartition("#")
    return (Path(file), name) if mark and not Path(design).is_file() and Path(file).is_file() else None


def _from_plan(path: Path, name: str) -> DetectorSpec:
    plan = read_plan(path)
    if name not in plan.baselines:
        names = ", ".join(plan.baselines) or "none"
        raise PlanError(f"{path}: a design after # is one of its baselines ({names}), but got {quoted(name)}")
    if plan.family:
        raise PlanError(f"{path}: a design is one detector, but its baselines are families, one detector for each band")
    fitted = Anchors() if plan.anchors == "auto" else plan.anchors
    return plan.space(classes=90, anchors=fitted).spec(plan.baselines[name])


def _from_file(path: Path) -> DetectorSpec:
    raw = path.read_bytes()
    try:
        data = parse_json(raw)
    except JsonError as error:
        if raw.lstrip()[:2] in (b"[[", b'{"'):
            raise PlanError(f"{path}: a detector's JSON file must be whole, but {error}") from None
        return _from_sections(path)
    if isinstance(data, list) and data and all(isinstance(one, dict) and "spec" in one for one in data):
        raise PlanError(f"{path}: must be one design, but has a list of {len(data)}: keep the one that is meant")
    if isinstance(data, dict) and isinstance(data.get("spec"), dict):
        data = data["spec"]
    try:
        return specs.from_dict(data)
    except ValueError as error:
        raise PlanError(f"{path}: {error}") from None


def _from_sections(path: Path) -> DetectorSpec:
    top = read_section(path)
    if value := top.get("baselines"):
        names = value.section().keys
        example = names[0] if names else "NAME"
        raise value.error(f"are of a plan, and a design is one detector; name one of them, as {path}#{example}")
    section, graphs = top.section("space"), NamedGraphs(path.parent)
    (axes, genes), anchors = read_axes(section, graphs), read_anchors(top.get("anchors"))
    if value := top.get("topology"):
        if "topology" in axes or genes:
            raise value.error("is given twice, here and in space; keep one")
        axes["topology"] = Choices((graphs.add("topology", value),))
    for note in graphs.notes:
        logger.warning(note)
    fixed, classes = read_detector(top.section("detector")), top.integer("classes", 90, low=1)
    top.done()
    try:
        fitted = Anchors() if anchors == "auto" else anchors
        space = Space(axes=axes, classes=classes, fixed=fixed, anchors=fitted, graphs=graphs.found, genes=genes)
        if space.free:
            raise ValueError(f"one detector has one value on each axis, but {next(iter(space.free))} has several")
        return space.spec({})
    except ValueError as error:
        raise section.blamed(error) from None


def read_recipe_file(path: Path | None, overrides: Sequence[str]) -> Recipe:
    """Return the recipe called `path`, a preset or a YAML file of fields, with overrides such as `epochs=10`.

    Without a path, the overrides apply to the defaults. Raises PlanError with file and line or the override, and if
    `path` is neither a preset nor a file.
    """
    base = PRESETS.get(str(path), Recipe())
    file = None if str(path) in PRESETS else path
    if file and not file.is_file():
        raise PlanError(
            f"a recipe is one of {', '.join(PRESETS)} or a YAML file, but {file} is neither; check the path"
        )
    return read_recipe(read_section(file, overrides).value, base)
