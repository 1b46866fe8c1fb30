"""The sections of a plan: their data, and the functions that read them from `reader`'s sections.

Every default is that of the field that it fills, here or in `arch`. Every error has file and line.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_type_hints

from scalesearch.arch.normalisation import NORMALISATIONS
from scalesearch.arch.spec import CHOICES, Anchors, DetectorSpec
from scalesearch.plan.axes import read_axis_value
from scalesearch.plan.bands import CALLED, misnamed
from scalesearch.plan.graph_file import NamedGraphs
from scalesearch.plan.reader import Section, Value
from scalesearch.plan.recipe import PRESETS, Recipe
from scalesearch.space.space import Point

SAMPLERS = ("grid", "random", "qmc", "tpe", "nsga2", "gp", "evolution", "ehvi")
OBJECTIVES = ("ap", "macs", "params", "activations", "memory", "latency")

_VARIED = ("size", "classes", "backbone", "topology", "repeats", "width", "head_width", "head_depth", "anchors")
DETECTOR = {name: hint for name, hint in get_type_hints(DetectorSpec).items() if name not in _VARIED}
"""The fields of `DetectorSpec` that a plan fixes for all candidates, with their types."""
_SEEDS = 2**63
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, kw_only=True)
class DataPlan:
    """The images, a COCO folder or `digits`, and the part of them that selects."""

    source: str = "digits"
    train: str = "train"
    val: str = "val"
    select: float | Literal["val"] = 0.2
    """Share of train to select on, split by `seed`; or val itself, which then is no unseen set."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class SamplerPlan:
    """The sampler that proposes points."""

    name: str = "ehvi"
    startup: int = 6
    """Candidates drawn at random before the sampler uses observations. grid, random and qmc use none; nsga2
    draws a whole population."""
    population: int = 16
    """nsga2: candidates of a generation; evolution: the latest candidates, one of which is the parent."""


@dataclass(frozen=True, kw_only=True)
class WinnersPlan:
    """How the best of the search are trained after it."""

    top: int = 2
    """The number of winners, of the front first, then of the front of the others; 0 for none."""
    seeds: tuple[int, ...] = (0, 1, 2)
    recipe: Recipe
    """The recipe of the search, with the overrides of `winners.recipe`."""


def read_name(top: Section, stem: str) -> str:
    """Read `name:`, by default the stem of the plan's file."""
    value = top.get("name")
    return checked_name(value.text() if value else stem, value or top.value)


def checked_name(text: str, value: Value) -> str:
    """Return `text` if it can be part of a file name; otherwise raise an error at `value`."""
    try:
        check_name(text, "")
    except ValueError as error:
        raise value.error(str(error).strip()) from None
    return text


def check_name(text: str, what: str) -> None:
    """Raise ValueError, which begins with `what`, unless `text` can be part of a file name."""
    if not _NAME.fullmatch(text):
        raise ValueError(
            f"{what} must have a name of letters, digits, '.', '_' and '-' (it names files), but got {text!r}"
        )


def read_seed(value: Value | None) -> int:
    """Read a seed, 0 by default."""
    if value is None:
        return 0
    seed = value.integer(low=0)
    if seed >= _SEEDS:
        raise value.error(f"must be below 2**63, the limit of random generators, but got {seed}")
    return seed


def read_repeats(value: Value | None) -> float:
    """Read `repeats`, the share of the trials that train candidates again, 0 by default."""
    what = "a share of the trials from 0 to 0.9, such as 0.2"
    share = value.number(what=what) if value else 0.0
    if value and not 0 <= share <= 0.9:
        raise value.expected(what)
    return share


def read_data(section: Section) -> DataPlan:
    """Read `data: {source:, train:, val:, select:, seed:}`."""
    select: float | Literal["val"] = DataPlan.select
    if value := section.get("select"):
        what = "a share of train between 0 and 1, or val"
        select = "val" if value.is_word("val") else value.number(what=what)
        if select != "val" and not 0 < select < 1:
            raise value.expected(what)
    data = DataPlan(
        source=section.text("source", DataPlan.source),
        train=section.text("train", DataPlan.train),
        val=section.text("val", DataPlan.val),
        select=select,
        seed=read_seed(section.get("seed")),
    )
    section.done()
    if data.train == data.val:
        raise section.error(f"must have train and val in different splits, but both are {data.train!r}")
    return data


def read_detector(section: Section) -> dict[str, Any]:
    """Return every field of DETECTOR, those in the section or the defaults."""
    for name in section.keys:
        if name in _VARIED:
            raise section.error(
                f"cannot set {name!r}, which is set by the space, the data or the anchors; set it there"
            )
    defaults = {item.name: item.default for item in dataclasses.fields(DetectorSpec) if item.name in DETECTOR}
    for name, words in (*CHOICES.items(), ("normalisation", tuple(NORMALISATIONS))):
        if value := section.get(name):
            value.word(words)
    return {**defaults, **section.fields(DETECTOR)}


def read_anchors(value: Value | None) -> Anchors | Literal["auto"]:
    """Read `auto` (fitted to the training boxes, the default), or {scale:, octaves:, aspects: [[w, h], ...]}."""
    if value is None or value.is_word("auto"):
        return "auto"
    if not value.is_section:
        raise value.expected("auto or {scale:, octaves:, aspects:}")
    section = value.section()
    fields = section.fields(get_type_hints(Anchors))
    try:
        return Anchors(**fields)
    except ValueError as error:
        raise section.blamed(error) from None


def read_objectives(value: Value | None) -> tuple[str, ...]:
    """Read the objectives of the front: ap, and any metrics."""
    if value is None:
        return ("ap", "macs")
    for item in value.items():
        if not item.is_list and not item.is_section and item.text().lower() in CALLED:
            raise item.error(misnamed(item.text()))
    names = tuple(item.word(OBJECTIVES) for item in value.items())
    if "ap" not in names or len(set(names)) != len(names):
        raise value.error(f"must have ap and no name twice, but got {', '.join(names)}")
    return names


def read_sampler(section: Section) -> SamplerPlan:
    """Read `sampler: {name: one of SAMPLERS, startup:, population:}`."""
    sampler = SamplerPlan(
        name=section.word("name", SAMPLERS, SamplerPlan.name),
        startup=section.integer("startup", SamplerPlan.startup, low=1, high=100_000),
        population=section.integer("population", SamplerPlan.population, low=2, high=100_000),
    )
    section.done()
    return sampler


def read_recipe(value: Value | None, base: Recipe) -> Recipe:
    """Read a preset's name, or fields that replace those of `base`, or of the preset in `preset: NAME` among them."""
    if value is None:
        return base
    if not value.is_section:
        if value.is_list:
            raise value.expected(f"one of {', '.join(PRESETS)}, or fields such as {{epochs: 30}}")
        return PRESETS[value.word(PRESETS)]
    section = value.section()
    if preset := section.get("preset"):
        base = PRESETS[preset.word(PRESETS)]
    fields = section.fields(get_type_hints(Recipe))
    try:
        return base.replaced(fields)
    except ValueError as error:
        raise section.blamed(error) from None


def read_winners(section: Section, base: Recipe) -> WinnersPlan:
    """Read `winners: {top:, seeds: [...], recipe: {overrides} | PRESET}`."""
    seeds = WinnersPlan.seeds
    if value := section.get("seeds"):
        seeds = tuple(read_seed(item) for item in value.items())
        if len(set(seeds)) != len(seeds):
            raise value.error(f"must be different, but got {', '.join(map(str, seeds))}; drop the repeated one")
    winners = WinnersPlan(
        top=section.integer("top", WinnersPlan.top, low=0, high=1000),
        seeds=seeds,
        recipe=read_recipe(section.get("recipe"), base),
    )
    section.done()
    return winners


def read_baselines(section: Section, axes: Iterable[str], graphs: NamedGraphs) -> dict[str, Point]:
    """Read `baselines: {NAME: {axis: value}}`: designs to compare with, which may lie outside the space.

    `axes` are those that a baseline may set.
    """
    baselines: dict[str, Point] = {}
    for name in section.keys:
        value = section.need(name)
        checked_name(name, value)
        point = value.section()
        found = {axis: read_axis_value(axis, v, graphs) for axis in axes if (v := point.get(axis))}
        point.done()
        baselines[name] = found
    return baselines
