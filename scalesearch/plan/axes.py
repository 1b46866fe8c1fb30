"""The axes of a plan's space: constants, choices, ranges, and the genes of free graphs. They are read by `reader`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_type_hints

from scalesearch.arch import backbone as backbones
from scalesearch.arch.genes import Genes
from scalesearch.arch.topology import FUSIONS
from scalesearch.plan.graph_file import NamedGraphs
from scalesearch.plan.reader import Section, Value
from scalesearch.space.space import AXES, DEFAULTS, INTEGERS, OWN, PHI, WORDS, AxisValue, Choices, steps

LONGEST_AXIS = 10_000
"""The most values of one axis; with more, its step is probably mistyped."""
_MOST_GENES = {"nodes": 60, "inputs": 8}
"""The most nodes of a free graph and edges into each: ids of larger graphs take seconds."""


def read_axis(name: str, value: Value, graphs: NamedGraphs | None = None) -> Choices:
    """Read an axis: a constant, a list of choices, or a range {low, high, step}; `graphs` is for the axis topology."""
    if value.is_section:
        return _range(name, value.section())
    if not value.is_list:
        return Choices((read_axis_value(name, value, graphs),))
    values = tuple(read_axis_value(name, item, graphs) for item in value.items())
    if twice := [v for i, v in enumerate(values) if v in values[:i]]:
        raise value.error(f"must have no value twice, but {twice[0]!r} is there again; drop it")
    return Choices(values)


def read_axis_value(name: str, value: Value, graphs: NamedGraphs | None = None) -> AxisValue:
    """Read one value of an axis: a name, an integer, or a number. The file of a graph is read into `graphs`."""
    if name in INTEGERS:
        return value.integer(low=0)
    if name not in WORDS:
        number = value.number()
        if name == "aspect" and number <= 0:
            raise value.expected("a height over width above 0")
        return int(number) if number.is_integer() else number
    if name == "backbone":
        try:
            backbones.parse(value.text().replace(PHI, "0"))  # each value of phi is checked with the whole space
        except ValueError as error:
            raise value.error(f"must name a backbone: {error}") from None
        return value.text()
    if name == "fusion":
        return value.word((OWN, *FUSIONS))
    assert graphs, "only axes of numbers are read without graphs"
    return graphs.name(value)


def _range(name: str, section: Section) -> Choices:
    if name in WORDS:
        raise section.error("must be a name or a list of names; only numbers have a range")
    low, high, step = (read_axis_value(name, section.need(key)) for key in ("low", "high", "step"))
    section.done()
    low, high, step = float(low), float(high), float(step)
    if low > high:
        raise section.error(f"is an empty range: low must be at most high, but got {low:g} and {high:g}")
    if step <= 0 or (high - low) / step >= LONGEST_AXIS:
        raise section.error(f"must have a step above 0 and at most {LONGEST_AXIS} values, but got step {step:g}")
    return steps(low, high, step)


def read_axes(section: Section, graphs: NamedGraphs) -> tuple[dict[str, Choices], Genes | None]:
    """Read the axes of `space:` in the order of AXES, and the genes if `topology` is {genes: ...} and no axis."""
    free = value if (value := section.get("topology")) and value.is_section else None
    axes = {
        name: read_axis(name, value, graphs)
        for name in AXES
        if (value := section.get(name)) and not (free and name == "topology")
    }
    section.done()
    return axes, _read_genes(free.section(), axes, section) if free else None


def _read_genes(free: Section, axes: Mapping[str, Choices], space: Section) -> Genes:
    """Read `{genes: {nodes:, inputs:, fusions: [...]}}`; the space must have a single span of levels."""
    section = free.need("genes").section()
    free.done()
    levels = []
    for name in ("min_level", "max_level"):
        values = axes.get(name, Choices((DEFAULTS[name],))).values
        if len(values) > 1:
            raise space.need(name).error(f"must be one level where the topology has genes, but got {len(values)}")
        levels.append(int(values[0]))
    hints = {name: hint for name, hint in get_type_hints(Genes).items() if name != "levels"}
    fields = section.fields(hints)
    if most := next((name for name, top in _MOST_GENES.items() if fields.get(name, 0) > top), None):
        raise section.need(most).error(f"must be at most {_MOST_GENES[most]}, but got {fields[most]}")
    try:
        return Genes(levels=(levels[0], levels[1]), **fields)
    except ValueError as error:
        raise section.blamed(error) from None
