"""Tables and cells of the page, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from scalesearch.evidence.noise import Spread
from scalesearch.io.text import for_markdown
from scalesearch.records.row import Row
from scalesearch.space.space import AxisValue, shown


def design_cell(row: Row) -> str:
    """Return what names the design of a row: a baseline's name, else the id of the spec."""
    return for_markdown(row.name) if row.kind == "baseline" else f"`{row.spec_id}`"


def point_cell(point: Mapping[str, AxisValue]) -> str:
    """Return the values of a point, `width 24, repeats 2`."""
    return for_markdown(shown(point))


def mean_cell(spread: Spread | None) -> str:
    """Return a mean with three digits; empty without values."""
    return f"{spread.mean:.3f}" if spread else ""


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table of Markdown cells; callers pass text from outside through `for_markdown`."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
