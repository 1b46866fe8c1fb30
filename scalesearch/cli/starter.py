"""Command that proposes a plan for one's own data: init."""

from __future__ import annotations

from pathlib import Path

import click

from scalesearch.cli.model import read_splits
from scalesearch.cli.options import FILE, Finite, need_data


@click.command()
@click.argument("data")
@click.option("--out", "-o", type=FILE, default="plan.yaml", show_default=True, help="The plan, a new YAML file.")
@click.option("--splits", callback=read_splits, metavar="TRAIN,VAL", help="Names of its splits; train,val by default.")
@click.option(
    "--minutes",
    type=Finite(1, 100_000),
    default=45,
    show_default=True,
    help="Time that the study may take on this machine; trials and steps are chosen to fit.",
)
def init(data: str, out: Path, splits: tuple[str, str] | None, minutes: float) -> None:
    """Look at the folder DATA and write a plan to search with.

    DATA is the folder of an export (docs/data.md), or digits. Input size, feature levels, band, trials and steps are
    chosen by its boxes and by the time of a training step, which is measured for some seconds; each value's reason
    stands beside it as a comment. An existing file is never replaced.

    \b
    Examples:
      scalesearch init export/
      scalesearch init export/ -o cells.yaml --minutes 120
      scalesearch search cells.yaml --finish
    """
    from scalesearch.io.cache import cache_folder
    from scalesearch.io.target import claim_folder, claim_new_file
    from scalesearch.plan.sections import check_name

    splits = splits or ("train", "val")
    check_name(out.stem, f"{out}: the plan's file")
    claim_new_file(out, "a plan")
    need_data(data, splits)
    claim_folder(cache_folder(), "the cache")
    from scalesearch.app.starter_plan import write_starter
    from scalesearch.console.progress import RichConsole

    with RichConsole():
        write_starter(data, out, splits=splits, minutes=minutes)
