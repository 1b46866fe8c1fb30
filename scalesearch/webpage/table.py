"""The table of all candidates: its columns and cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from scalesearch.cost.budget import human
from scalesearch.inputs.quoting import shortened
from scalesearch.io.text import LONGEST, for_terminal
from scalesearch.webpage.candidates import ShownDetector, costs_of
from scalesearch.webpage.style import COSTS


class Column(NamedTuple):
    """A column of the table."""

    title: str
    number: bool
    """Whether its cells are numbers, which stand at the right."""


class TableCell(NamedTuple):
    """A cell of the table."""

    text: str
    key: float | str | None = None
    """What it is sorted by, where that is not its text."""


def table_of(found: Sequence[ShownDetector]) -> tuple[list[Column], list[list[TableCell]]]:
    """Return the columns, and the cells of each candidate in their order."""
    axes = list(dict.fromkeys(name for one in found for name in one.row.point if "." not in name))
    free = any("." in name for one in found for name in one.row.point)
    costs = [name for name in COSTS if name != "activations" and any(name in costs_of(one.row) for one in found)]
    seeds = any(len(one.runs) > 1 for one in found)
    finals = any(one.finals for one in found)
    columns = [Column("detector", False), Column("state", False), Column("proposed by", False)]
    columns += [Column(for_terminal(name).replace("_", " "), _numbers(found, name)) for name in axes]
    columns += [Column("edges", True)] if free else []
    columns += [Column(COSTS[name], True) for name in costs]
    columns += [Column("epochs", True), Column("AP", True), Column("AP50", True)]
    columns += [Column("seeds", True)] if seeds else []
    columns += [Column("AP on val", True)] if finals else []

    def cells(number: int, one: ShownDetector) -> list[TableCell]:
        row, known = one.row, costs_of(one.row)
        line = [
            TableCell(one.name, number),
            TableCell(one.state),
            TableCell(for_terminal(row.proposed_by) if one.trial else ""),
        ]
        line += [TableCell(shortened(for_terminal(row.point.get(name, "")), LONGEST)) for name in axes]
        line += [TableCell(str(sum(len(node.inputs) for node in row.spec.topology.nodes)))] if free else []
        line += [
            TableCell(human(known[name], name), known[name]) if name in known else TableCell("", "") for name in costs
        ]
        line.append(TableCell(str(row.epochs_done)))
        line += [_score(one.ap), _score(row.final.get("ap50"))] if one.trial else [TableCell("", ""), TableCell("", "")]
        line += [TableCell(str(len(one.runs)) if one.runs else "", None if one.runs else "")] if seeds else []
        line += [_final(one)] if finals else []
        return line

    return columns, [cells(number, one) for number, one in enumerate(found)]


def _numbers(found: Sequence[ShownDetector], axis: str) -> bool:
    return not any(isinstance(one.row.point.get(axis, 0), str) for one in found)


def _score(value: float | None) -> TableCell:
    return TableCell("", "") if value is None else TableCell(f"{value:.3f}", value)


def _final(one: ShownDetector) -> TableCell:
    spread = one.finals[0].spread() if one.finals else None
    return TableCell(str(spread), spread.mean) if spread else TableCell("", "")
