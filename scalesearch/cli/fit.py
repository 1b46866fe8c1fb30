"""The command on a scaling law: fit."""

from __future__ import annotations

import json
from pathlib import Path

import click

from scalesearch.cli.options import FILE, PATH, printing
from scalesearch.inputs.quoting import quoted

_MOST_BUDGETS = 100


@click.command()
@click.argument("source", type=PATH, metavar="STUDY|TABLE|CSV")
@click.option(
    "--flops-are",
    type=click.Choice(["multiply-adds", "twice"]),
    help="What a column flops counts: multiply-adds, as papers on detectors do, or twice that, as several code bases do.",
)
@click.option(
    "--budgets", metavar="F,F,...", help="Predict AP, and choose a family, at these multiply-adds, as 3G,6G,12G."
)
@click.option("--design", metavar="DESIGN", help="What a family of a CSV file's rows is made of: d0, a file, ...")
@click.option("--out", "-o", type=FILE, help="The family as a plan, a new YAML file.")
@click.option("--json", "as_json", is_flag=True, help="One object.")
def fit(
    source: Path, flops_are: str | None, budgets: str | None, design: str | None, out: Path | None, as_json: bool
) -> None:
    """Fit AP = A - B F^-c to a family of detectors, and predict the AP of larger ones, with intervals.

    Where input sizes vary apart from the network, AP = A - B N^-a - C S^-b. A STUDY's rows are read, or a CSV file with the
    columns name, macs (or flops) and ap; also family, size, params, seed, epoch. Few detectors are fitted with a prior over
    published families (docs/scaling.md).

    Where the rows vary in two or more of size, width, repeats and head_depth, the best of these at each budget come out, each
    with the range that the rows do not tell from it, and -o writes them as a plan: its members are baselines that `search`
    trains, and `train FILE#25G` trains one.

    \b
    Examples:
      scalesearch fit rows.csv --budgets 25G,55G,135G
      scalesearch fit yolo.csv --flops-are twice --json
      scalesearch fit results/width_grid --budgets 160M,320M -o family.yaml
      scalesearch train family.yaml#320M --data path/to/coco
    """
    from scalesearch.io.target import claim_new_file
    from scalesearch.plan.sections import check_name

    if out:
        if budgets is None:
            raise ValueError("-o writes a family for budgets, but there are none; add --budgets, as 3G,6G,12G")
        check_name(out.stem, f"{out}: the plan's file")
        claim_new_file(out, "a plan")
    from scalesearch.app.family_plan import write_family
    from scalesearch.app.fit_scaling import fit_scaling
    from scalesearch.console.fit_tables import show_fits

    found = fit_scaling(source, flops_are, read_budgets(budgets) if budgets is not None else [], design)
    if out:
        write_family(found, source, out)
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
