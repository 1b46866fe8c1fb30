"""Commands on a design, without training: cost, draw, anchors."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scalesearch.cli.options import COUNT, PATH, SIZE

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from scalesearch.arch.spec import DetectorSpec


@click.command()
@click.argument("designs", nargs=-1, required=True, metavar="DESIGN...")
@click.option("--classes", type=COUNT, help="Object classes; 90, or the file's, by default.")
@SIZE
@click.option("--table", "timings", type=PATH, help="Predict the latency too, by a table of `scalesearch calibrate`.")
@click.option("--plot", type=PATH, help="Draw cost over phi of the families among the designs: .svg, .png or .pdf.")
@click.option(
    "--check", is_flag=True, help="Build each design and compare with fvcore's trace; status 1 if they differ."
)
@click.option("--json", "as_json", is_flag=True, help="One object; a list for several designs.")
@click.option("--csv", "as_csv", is_flag=True, help="A row for each design.")
def cost(
    designs: tuple[str, ...],
    classes: int | None,
    size: str | None,
    timings: Path | None,
    plot: Path | None,
    check: bool,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Parameters, multiply-adds, activations and memory of each DESIGN: d0 .. lite4, a detector's file, or a plan.

    One design is shown part by part, several a row each. A plan stands for its baselines and some candidates from inside
    its band. Nothing is built unless --check is asked for: a price is arithmetic.

    \b
    Examples:
      scalesearch cost d0
      scalesearch cost d0 d3 my_detector.yaml --classes 20 --size 384x640 --json
      scalesearch cost d0 d1 d2 d3 d4 d5 d6 --plot family.png --table this_machine.json
      scalesearch cost search_spaces/topology.yaml --csv
      scalesearch cost d0 --size 128x128 --check
    """
    from scalesearch.app.price_designs import as_text, draw, priced
    from scalesearch.console.cost_tables import show_costs
    from scalesearch.io.marks import claim_picture
    from scalesearch.plan.latency_table import read_table

    if as_json and as_csv:
        raise ValueError("an output has one form, but both --json and --csv were given; drop one")
    if plot:
        claim_picture(plot)
    table = read_table(timings) if timings else None
    if table:
        logger.info(f"latency: {table}")
    found = priced(designs, classes, size, table)
    if plot:
        draw(found, table, plot)
        logger.info(f"drawn to {plot}")
    if as_json or as_csv:
        click.echo(as_text(found, "json" if as_json else "csv"), nl=as_json)
    else:
        show_costs([(one.name, one.spec, one.parts, one.metrics) for one in found])
    if check:
        _check([(one.name, one.spec) for one in found], quiet=as_json or as_csv)


def _check(specs: list[tuple[str, DetectorSpec]], *, quiet: bool) -> None:
    from scalesearch.console.cost_tables import show_comparison
    from scalesearch.profile.fvcore_check import compare_with_fvcore

    compared = [(name, compare_with_fvcore(spec)) for name, spec in specs]
    for name, comparison in compared:
        show_comparison(name, comparison, errors=quiet)
    if not all(comparison.agrees for _, comparison in compared):
        sys.exit(1)


@click.command()
@click.argument("design")
@click.option("--out", "-o", type=PATH, required=True, help="The picture: .svg, .png or .pdf.")
@click.option("--levels", metavar="A..B", help="Levels of a published feature network; 3..7 by default.")
@click.option("--fusion", help="Fusion of each node that is no gate; the network's own by default.")
def draw(design: str, out: Path, levels: str | None, fusion: str | None) -> None:
    """Draw the feature network DESIGN: bifpn, a graph's YAML file, d0, or a file with a detector or a result row.

    \b
    Examples:
      scalesearch draw bifpn -o bifpn.svg
      scalesearch draw fpn -o fpn.png --levels 2..8 --fusion sum
    """
    from scalesearch.io.marks import claim_picture
    from scalesearch.plan.design import read_network

    network = read_network(design, levels, fusion)
    claim_picture(out)
    from scalesearch.report.graph_plot import draw_graph

    draw_graph(network, out, Path(design).stem)


@click.command()
@click.argument("design")
@click.option("--data", required=True, help="Folder of an export (docs/data.md), or digits.")
@click.option("--split", default="train", show_default=True, help="Which of its splits.")
@SIZE
@click.option("--json", "as_json", is_flag=True, help="One object.")
def anchors(design: str, data: str, split: str, size: str | None, as_json: bool) -> None:
    """Which boxes the anchors of DESIGN can match at all, by size and class, and anchors that fit the data.

    Sizes are COCO's, in pixels of the original image. What no anchor overlaps by IoU 0.5 is hardly learned.

    \b
    Examples:
      scalesearch anchors d0 --data coco/ --size 256x256
      scalesearch anchors my_detector.yaml --data digits --json
    """
    from scalesearch.data.sets import check_split, open_split
    from scalesearch.plan.design import fits_anchors, read_design

    spec = read_design(design, size=size)
    check_split(data, split)
    if fits_anchors(design):
        logger.info(
            f"{design} has anchors: auto: its own, below, are the published ones, which a training fits to the data"
        )
    from scalesearch.app.anchor_report import anchor_report
    from scalesearch.console.anchor_tables import show_anchors

    found = anchor_report(spec, open_split(data, split))
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        show_anchors(found)
