"""Table 5 of the EfficientDet paper by arithmetic: what feature networks cost; writes the table of docs/feature_networks.md.

    python benchmarks/table5.py          # a second

The price is of the feature network alone (laterals, the extra levels, the cells) at the width, cells and size of d2
and d3, as a ratio to the repeated top-down FPN.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from scalesearch.arch.networks import TOPOLOGIES
from scalesearch.arch.scaling import named
from scalesearch.cost.price import Cost, breakdown

PAPER = {  # Table 5 (v7): parameters and FLOPs as ratios; None where the table has no such row
    "fpn_repeated": (1.0, 1.0),
    "panet": (1.0, 1.0),
    "nasfpn": (0.71, 0.72),
    "fully_connected": (1.24, 1.21),
    "bifpn": (0.88, 0.67),
    "bifpn, weighted": (0.88, 0.68),
    "panet_simplified": None,
    "qufpn": None,
}
OURS = ("fpn_repeated", "fully_connected")
"""Networks whose wiring was not published: ours is drawn in their place."""
SHAPES = ("d2", "d3")
DOCS = Path(__file__).parents[1] / "docs" / "feature_networks.md"
BEGIN, END = "<!-- table 5: written by benchmarks/table5.py -->\n", "<!-- end of table 5 -->\n"


def neck(shape: str, row: str) -> Cost:
    """The cost of the feature network `row` at the width, cells and size of `shape`; separable convolutions."""
    name, _, weighted = row.partition(", ")
    topology = TOPOLOGIES[name](3, 7, "fast" if weighted else "sum")
    return breakdown(dataclasses.replace(named(shape), topology=topology)).neck


def ratios(shape: str, row: str) -> tuple[float, float]:
    """Parameters and multiply-adds over those of the repeated top-down FPN."""
    cost, base = neck(shape, row), neck(shape, "fpn_repeated")
    return cost.params / base.params, cost.macs / base.macs


def table() -> str:
    """The table in Markdown."""
    lines = [
        "| network | nodes / edges | paper: parameters, FLOPs | at d2's shape | at d3's shape |",
        "|---|---|---|---|---|",
    ]
    for row, paper in PAPER.items():
        topology = TOPOLOGIES[row.partition(", ")[0]](3, 7)
        edges = sum(len(node.inputs) for node in topology.nodes)
        said = f"{paper[0]:.2f}, {paper[1]:.2f}" if paper else "not in the table"
        ours = (f"{params:.3f}, {macs:.3f}" for params, macs in (ratios(shape, row) for shape in SHAPES))
        mark = " (wiring ours)" if row in OURS else ""
        lines.append(f"| {row}{mark} | {len(topology.nodes)} / {edges} | {said} | {' | '.join(ours)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Writes the table into the docs, and prints it."""
    before, rest = DOCS.read_text().split(BEGIN)
    DOCS.write_text(before + BEGIN + table() + END + rest.split(END)[1])
    print(table(), end="")


if __name__ == "__main__":
    main()
