"""Command that simulates searches without training: rehearse."""

from __future__ import annotations

import json
from pathlib import Path

import click

from scalesearch.cli.options import COUNT, PATH, printing
from scalesearch.io.text import for_terminal


@click.command()
@click.argument("source", type=PATH, metavar="TABLE|PLAN")
@click.option(
    "--samplers", default="random,qmc,tpe,nsga2,evolution,ehvi", show_default=True, help="Names, separated by commas."
)
@click.option(
    "--seeds",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="Searches for each sampler, from the plan's seed on.",
)
@click.option("--trials", type=COUNT, help="Candidates of each search, in place of the plan's number.")
@click.option(
    "--ladder/--no-ladder",
    default=None,
    help="Only with or only without the ladder; by default both, if the plan has one.",
)
@click.option(
    "--band",
    "band",
    multiple=True,
    metavar="COST=LOW..HIGH",
    help="Band over a TABLE's file, as latency=20%..40% of its points or params=1M..2M; may be repeated.",
)
@click.option("--landscape", show_default="plain", help="Landscape of a PLAN: plain, crossing or noisy.")
@click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Override a key of the plan; may be repeated."
)
@click.option(
    "--out", "-o", type=PATH, help="Folder of the picture and table; rehearsals that are there are not repeated."
)
@click.option("--json", "as_json", is_flag=True, help="The table as JSON.")
def rehearse(
    source: Path,
    samplers: str,
    seeds: int,
    trials: int | None,
    ladder: bool | None,
    band: tuple[str, ...],
    landscape: str | None,
    changes: tuple[str, ...],
    out: Path | None,
    as_json: bool,
) -> None:
    """Compare samplers, and the ladder with full training, without training anything.

    A PLAN is searched on a synthetic landscape; a TABLE is replayed: the folder of a study, or a CSV or Parquet file with
    a line for each point, seed and epoch (docs/rehearsal.md), whose points need not be detectors.
    Prints the hypervolume of what each search returns against the epochs that it trained.

    \b
    Examples:
      scalesearch rehearse search_spaces/landscape.yaml --samplers random,tpe --seeds 5
      scalesearch rehearse search_spaces/landscape.yaml --landscape noisy --set ladder.keep=0.25 -o results/noisy
      scalesearch rehearse results/quickstart --samplers random,tpe --no-ladder
      scalesearch rehearse cells.csv --band latency=20%..40% --set 'objectives=[ap, latency]' --trials 100
    """
    from scalesearch.rehearsal.result import claim_rehearsal

    if out:
        claim_rehearsal(out)
    from scalesearch.app import rehearse as launch
    from scalesearch.app.rehearse_plain import is_plain, on_plain_table
    from scalesearch.console.progress import RichConsole
    from scalesearch.console.tables import show_table
    from scalesearch.plan.sections import SAMPLERS
    from scalesearch.rehearsal.comparison_page import HEADINGS, LEGEND, lines, to_dict

    names = [name.strip() for name in samplers.split(",")]
    if unknown := [name for name in names if name not in SAMPLERS]:
        raise ValueError(f"--samplers must name some of {', '.join(SAMPLERS)}, but got {unknown[0]!r}")
    overrides = [*changes, *([f"trials={trials}"] if trials else [])]
    with RichConsole(stderr=as_json):
        plain = is_plain(source)
        if landscape and (plain or launch.is_recorded_table(source)):
            raise ValueError(
                f"--landscape is for a PLAN, but {source} is a TABLE, which has the recorded values; drop it"
            )
        if band and not plain:
            raise ValueError(
                f"--band is for a TABLE in a CSV or Parquet file, but {source} is none; the band of a plan is "
                "--set 'band={macs: {max: 1G}}', that of a study what it recorded"
            )
        if plain:
            stage = on_plain_table(source, band, overrides, ladder)
        elif launch.is_recorded_table(source):
            stage = launch.on_table(source, overrides, ladder)
        else:
            stage = launch.on_landscape(source, overrides, landscape or "plain")
        found = launch.run_rehearsals(
            stage, samplers=names, seeds=seeds, ladders=launch.ladders(stage.plan, ladder), out=out
        )
    text = json.dumps([to_dict(one) for one in found], indent=2)
    with printing(lambda: text):
        if as_json:
            click.echo(text)
            return
        for fact in stage.facts:
            click.echo(for_terminal(fact))
        show_table(HEADINGS, lines(found), LEGEND)
