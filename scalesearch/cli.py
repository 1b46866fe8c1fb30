"""The command line: one function a verb, each a few lines. Errors of the user's are one line and exit status 2."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from scalesearch import __version__
from scalesearch.arch.cost import Breakdown
from scalesearch.arch.spec import DetectorSpec

_PATH = click.Path(path_type=Path)
_SIZE = click.option("--size", metavar="HxW", help="Input size in pixels; native by default.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True)
@click.version_option(__version__, message="scalesearch %(version)s")
def cli() -> None:
    """Search compound scaling and feature networks of object detectors under a hard budget."""


@cli.command()
@click.argument("plan", type=_PATH)
@click.option("--data", type=_PATH, help="COCO folder, or digits, in place of the plan's data.source.")
@click.option("--out", type=_PATH, help="The study's folder; results/<name of the plan> by default.")
@click.option("--trials", type=int, help="Candidates to train, in place of the plan's number.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Override a key of the plan; may be repeated.")
def search(plan: Path, data: Path | None, out: Path | None, trials: int | None, changes: tuple[str, ...]) -> None:
    """Search by PLAN, train the winners, and report.

    The same command continues what was interrupted.

    \b
    Examples:
      scalesearch search search_spaces/quickstart.yaml
      scalesearch search search_spaces/topology.yaml --data coco/ --trials 6
      scalesearch search search_spaces/topology.yaml --set recipe.epochs=10 --out results/short
    """
    from scalesearch import launch
    from scalesearch.console import RichConsole
    from scalesearch.plan.plan import read_plan

    overrides = list(changes)
    overrides += [f"data.source={json.dumps(str(data))}"] if data else []
    overrides += [f"trials={trials}"] if trials is not None else []
    study = read_plan(plan, overrides)
    with RichConsole() as console:
        for note in study.notes:
            console.say(note)
        report_path = launch.search(study, out or Path("results") / study.name, console)
        console.say(f"report: {report_path}")


@cli.command()
@click.argument("study", type=_PATH)
def report(study: Path) -> None:
    """Write the tables, picture and page of the folder STUDY again from its rows.

    \b
    Example:
      scalesearch report results/quickstart
    """
    from scalesearch.plan.plan import read_plan
    from scalesearch.records.folder import PLAN, read_rows
    from scalesearch.report.write import write_report

    if not (study / PLAN).exists():
        raise ValueError(f"{study}: a study's folder has a {PLAN}, but this one has none; name one under results/")
    click.echo(write_report(study, read_plan(study / PLAN), read_rows(study)))


@cli.command()
@click.argument("designs", nargs=-1, required=True, metavar="DESIGN...")
@click.option("--classes", type=click.IntRange(1), help="Object classes; 90, or the file's, by default.")
@_SIZE
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

    costs = [(design, *_priced(read_design(design, classes, size, say=_note))) for design in designs]
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


@cli.command()
@click.argument("design")
@click.option("--data", default="digits", show_default=True, help="COCO folder, or digits.")
@click.option("--recipe", type=_PATH, help="YAML file of recipe fields; the short recipe by default.")
@click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE", help="Override a recipe field; may be repeated.")
@click.option("--seed", default=0, show_default=True, help="Of the weights, the order and the augmentation.")
@click.option("--weights", type=_PATH, help="Start from this checkpoint, .pth or .safetensors, ours or effdet's.")
@_SIZE
@click.option("--out", type=_PATH, help="Folder of the checkpoint and of result.json; under results/ by default.")
def train(
    design: str,
    data: str,
    recipe: Path | None,
    changes: tuple[str, ...],
    seed: int,
    weights: Path | None,
    size: str | None,
    out: Path | None,
) -> None:
    """Train DESIGN (d0 .. lite4, or a file) on all of train and score it on val.

    The same command continues what was interrupted.

    \b
    Examples:
      scalesearch train results/quickstart/rows/search-000003.json --set epochs=60
      scalesearch train d0 --data coco/ --size 256x256 --recipe my_recipe.yaml
    """
    from scalesearch import launch
    from scalesearch.console import RichConsole
    from scalesearch.plan.design import read_design, read_recipe_file

    spec, chosen = read_design(design, size=size, say=_note), read_recipe_file(recipe, changes)
    with RichConsole() as console:
        launch.train(spec, chosen, data=data, seed=seed, out=out, console=console, weights=weights)


@cli.command()
@click.argument("design")
@click.option("--out", "-o", type=_PATH, required=True, help="The picture: .svg, .png or .pdf.")
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

    draw_graph(read_network(design, levels, fusion, say=_note), out, Path(design).stem)


def _note(text: str) -> None:
    click.echo(text, err=True)


def main() -> None:
    """The console script. What the user can mend is one line and status 2; Ctrl-C is 130."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
    except click.ClickException as error:
        _end(error.format_message(), 2)
    except (ValueError, FileNotFoundError) as error:
        _end(str(error), 2)
    except (KeyboardInterrupt, click.Abort):
        _end("stopped; the same command continues from here", 130)


def _end(message: str, status: int) -> None:
    print(f"scalesearch: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)
