"""The command on a study's learning curves: curves."""

from __future__ import annotations

from pathlib import Path

import click

from scalesearch.cli.options import FILE, PATH


@click.command()
@click.argument("study", type=PATH)
@click.option("--out", "-o", type=FILE, required=True, help="A new CSV file.")
def curves(study: Path, out: Path) -> None:
    """Write the learning curves of a STUDY's folder as a table, a line for each evaluation.

    Its columns are the dimensions of each detector, its costs, seed, epoch, AP and training loss. `rehearse`, `audit` and `fit`
    read it, and so does pandas. The complete trainings of the search, of winners and of named designs are in it, as far as they
    are by one recipe on one split: those of which there are most.

    \b
    Examples:
      scalesearch curves results/table_bccd -o bccd.csv
      scalesearch audit bccd.csv
      scalesearch rehearse bccd.csv --band macs=20%..60%
    """
    from scalesearch.io.target import claim_new_file

    if out.suffix != ".csv":
        raise ValueError(f"curves are written as a .csv file, but got {out.name!r}")
    claim_new_file(out, "a table")
    from scalesearch.app.curves_table import write_curves

    write_curves(study, out)
