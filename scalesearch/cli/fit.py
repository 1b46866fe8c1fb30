"""The command on a scaling law: fit."""

from __future__ import annotations

import json
from pathlib import Path

import click

from scalesearch.cli.options import PATH, printing
from scalesearch.inputs.quoting import quoted

_MOST_BUDGETS = 100


@click.command()
@click.argument("source", type=PATH, metavar="STUDY|TABLE|CSV")
@click.option(
    "--flops-are",
    type=click.Choice(["multiply-adds", "twice"]),
    help="What a column flops counts: multiply-adds, as papers on detectors do, or twice that, as several code bases do.",
)
@click.option("--budgets", metavar="F,F,...", help="Predict AP at these multiply-adds, as 3G,6G,12G.")
@click.option("--json", "as_json", is_flag=True, help="One object.")
def fit(source: Path, flops_are: str | None, budgets: str | None, as_json: bool) -> None:
    """Fit AP = A - B F^-c to a family of detectors, and predict the AP of larger ones, with intervals.

    Where input sizes vary apart from the network, AP = A - B N^-a - C S^-b. A STUDY's rows are read, or a CSV file with the
    columns name, macs (or flops) and ap; also family, size, params, seed, epoch. Few detectors are fitted with a prior over
    published families (docs/scaling.md).

    \b
    Examples:
      scalesearch fit rows.csv --budgets 25G,55G,135G
      scalesearch fit yolo.csv --flops-are twice --json
      scalesearch fit results/width_grid --budgets 160M,320M
    """
    from scalesearch.app.fit_scaling import fit_scaling
    from scalesearch.console.fit_tables import show_fits

    found = fit_scaling(source, flops_are, read_budgets(budgets) if budgets is not None else [])
    text = json.dumps(found, indent=2)
    with printing(lambda: text):
        if as_json:
            click.echo(text)
        else:
            show_fits(found)


def read_budgets(text: str) -> list[float]:
    """Return multiply-adds from `3G,6G`. ValueError for what is no list of them."""
    from scalesearch.cost.budget import quantity

    words = text.split(",")
    if len(words) > _MOST_BUDGETS:
        raise ValueError(f"--budgets has at most {_MOST_BUDGETS} numbers, but got {len(words)}; ask in parts")
    found = []
    for word in words:
        try:
            value = quantity(word)
        except ValueError:
            value = 0.0
        if not 1e3 <= value <= 1e18:
            raise ValueError(f"--budgets are multiply-adds separated by commas, as 3G,6G,12G, but got {quoted(word)}")
        found.append(value)
    return found
