"""Command on a search space, without training: space."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import click

from scalesearch.cli.options import COUNT, PATH, SEED

logger = logging.getLogger(__name__)


@click.command()
@click.argument("plan", type=PATH)
@click.option("--classes", type=COUNT, help="Object classes; the data set's by default.")
@click.option(
    "--count",
    type=click.IntRange(0, 1000),
    default=5,
    show_default=True,
    help="Candidates to draw from inside the band.",
)
@click.option(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    help="Seed of the draws, and of the sample that estimates a share.",
)
@click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Override a key of the plan; may be repeated."
)
@click.option("--json", "as_json", is_flag=True, help="One object.")
def space(plan: Path, classes: int | None, count: int, seed: int, changes: tuple[str, ...], as_json: bool) -> None:
    """How large the space of PLAN is, how much of it the band holds, and some candidates from inside it.

    Nothing is trained, and no image is opened. A space too large to price whole is estimated, with an interval of 95 %.

    \b
    Examples:
      scalesearch space search_spaces/topology.yaml
      scalesearch space search_spaces/topology.yaml --set 'band={macs: {max: 0.5G}, memory: {max: 40MB}}' --json
    """
    from scalesearch.app.describe_space import describe_space
    from scalesearch.console.space_tables import show_space
    from scalesearch.plan.plan import read_plan

    read = read_plan(plan, list(changes))
    for line in read.notes:
        logger.warning(line)
    found = describe_space(read, classes=classes, count=count, seed=seed)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
    else:
        show_space(found.bands, found.held, found.nearest, [(c.point, c.members, c.costs) for c in found.candidates])
