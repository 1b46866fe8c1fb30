"""Common style of tables: width, columns and column heads."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scalesearch.inputs.quoting import shortened
from scalesearch.io.text import LONGEST, for_terminal

WIDTH = 160
"""Least width of a console for tables, in characters, where the output is no terminal or a narrow one."""


HEADINGS = {
    "params": "parameters",
    "macs": "FLOPs",
    "activations": "activations",
    "memory": "memory",
    "latency": "latency",
}


def name_cell(name: str) -> Text:
    """Return the cell of a name from outside, made safe and short."""
    return Text(for_terminal(shortened(name, LONGEST)))


def wide() -> Console:
    """Return a console whose tables lose no column where the output is no terminal, or a narrow one."""
    return Console(highlight=False, soft_wrap=True, width=max(Console().width, WIDTH))


def table(first: str, *others: str) -> Table:
    """Return an empty table: a column of names, then columns of numbers."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    made.add_column(first, no_wrap=True)
    for head in others:
        made.add_column(head, justify="right", no_wrap=True)
    return made


def show_table(heads: Sequence[str], lines: Sequence[Sequence[str]], legend: str) -> None:
    """Print a table and its legend; the first column is left-aligned, the others right-aligned."""
    console = wide()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, head in enumerate(heads):
        table.add_column(head, justify="right" if i else "left", no_wrap=not i)
    for line in lines:
        table.add_row(*line)
    console.print(table)
    console.print(legend, markup=False)
