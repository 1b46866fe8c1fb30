"""The command on proxies: audit."""

from __future__ import annotations

import json
from pathlib import Path

import click

from scalesearch.cli.options import PATH, printing


@click.command()
@click.argument("source", type=PATH, metavar="STUDY|TABLE")
@click.option("--against", type=PATH, metavar="FULL", help="A study or table of full trainings of the same candidates.")
@click.option("--json", "as_json", is_flag=True, help="One object.")
def audit(source: Path, against: Path | None, as_json: bool) -> None:
    """Say whether short trainings rank as full ones do, and which differences of AP the noise hides.

    Of a STUDY's folder, or a TABLE (CSV or Parquet) of points with scores by seed and epoch: the noise between seeds and the
    smallest difference that n seeds tell; the rank correlation with full training of the AP at each recorded epoch, of the
    sum of training losses and of what is known without training, beside that of one more full training; and whether ranks
    move with epochs (docs/audit.md).

    \b
    Examples:
      scalesearch audit results/topology
      scalesearch audit results/frozen --against results/whole
      scalesearch audit curves.csv --json
    """
    from scalesearch.app.audit_study import audit_study
    from scalesearch.console.audit_tables import show_audits

    found = audit_study(source, against)
    text = json.dumps(found, indent=2)
    with printing(lambda: text):
        if as_json:
            click.echo(text)
        else:
            show_audits(found)
