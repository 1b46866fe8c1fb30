"""The manner of every table: its width, its columns, its heads."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scalesearch.inputs.quoting import shortened
from scalesearch.io.text import LONGEST, for_terminal

WIDTH = 160
"""Columns that a table of many numbers takes where nobody says how wide the terminal is."""


HEADS = {
    "params": "parameters",
    "macs": "FLOPs",
    "activations": "activations",
    "memory": "memory",
    "latency": "latency",
}


def name_cell(name: str) -> Text:
    """A name from outside, in a table."""
    return Text(for_terminal(shortened(name, LONGEST)))


def wide() -> Console:
    """A console whose tables lose no column where the output is no terminal, or a narrow one."""
    return Console(highlight=False, soft_wrap=True, width=max(Console().width, WIDTH))


def table(first: str, *others: str) -> Table:
    """An empty table: a column of names, columns of numbers."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    made.add_column(first, no_wrap=True)
    for head in others:
        made.add_column(head, justify="right", no_wrap=True)
    return made


def show_table(heads: Sequence[str], lines: Sequence[Sequence[str]], legend: str) -> None:
    """Print a table, names to the left and numbers to the right, and what it means."""
    console = wide()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, head in enumerate(heads):
        table.add_column(head, justify="right" if i else "left", no_wrap=not i)
    for line in lines:
        table.add_row(*line)
    console.print(table)
    console.print(legend, markup=False)
