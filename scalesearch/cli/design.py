"""The verbs of a design on paper: cost, draw, anchors. Nothing is trained."""

from __future__ import annotations

import json
from pathlib import Path

import click

from scalesearch.arch.cost import Breakdown
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cli.options import PATH, SIZE, note


@click.command()
@click.argument("designs", nargs=-1, required=True, metavar="DESIGN...")
@click.option("--classes", type=click.IntRange(1), help="Object classes; 90, or the file's, by default.")
@SIZE
@click.option("--json", "as_json", is_flag=True, help="One object; a list for several designs.")
def cost(designs: tuple[str, ...], classes: int | None, size: str | None, as_json: bool) -> None:
    """Parameters, multiply-adds and activations of each DESIGN (d0 .. lite4, or a file), part by part.

    Nothing is built: a price is arithmetic.

    \b
    Examples:
      scalesearch cost d0
      scalesearch cost d0 d3 my_detector.yaml --classes 20 --size 384x640 --json
      scalesearch cost results/quickstart/rows/search-000003.json
    """
    from scalesearch.console import show_costs
    from scalesearch.plan.design import read_design

    costs = [(design, *_priced(read_design(design, classes, size, say=note))) for design in designs]
    if as_json:
        data = [parts.to_dict() for _, _, parts in costs]
        click.echo(json.dumps(data if len(data) > 1 else data[0], indent=2))
    else:
        show_costs(costs)


def _priced(spec: DetectorSpec) -> tuple[DetectorSpec, Breakdown]:
    from scalesearch.arch.backbone import TimmBackbone
    from scalesearch.arch.cost import breakdown

    if isinstance(spec.backbone, TimmBackbone):  # only then is torch needed
        from scalesearch.profile.resolve import resolve_spec

        spec = resolve_spec(spec)
    return spec, breakdown(spec)


@click.command()
@click.argument("design")
@click.option("--out", "-o", type=PATH, required=True, help="The picture: .svg, .png or .pdf.")
@click.option("--levels", metavar="A..B", help="Of a published feature network: 3..7 by default.")
@click.option("--fusion", help="At each node that is no gate; the network's own by default.")
def draw(design: str, out: Path, levels: str | None, fusion: str | None) -> None:
    """Draw the feature network DESIGN: bifpn, a graph's YAML file, d0, or a file with a detector or a result row.

    \b
    Examples:
      scalesearch draw bifpn -o bifpn.svg
      scalesearch draw fpn -o fpn.png --levels 2..8 --fusion sum
    """
    from scalesearch.plan.design import read_network
    from scalesearch.report.graph import draw_graph

    draw_graph(read_network(design, levels, fusion, say=note), out, Path(design).stem)


@click.command()
@click.argument("design")
@click.option("--data", required=True, help="COCO folder, or digits.")
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
    from scalesearch.console import show_anchors
    from scalesearch.launch.anchors import anchor_report
    from scalesearch.launch.model import open_split
    from scalesearch.plan.design import read_design

    found = anchor_report(read_design(design, size=size, say=note), open_split(data, split))
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        show_anchors(found)
