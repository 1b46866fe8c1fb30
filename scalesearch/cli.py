"""The command line: one function a verb. Errors of the user's are one line and exit status 2."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from scalesearch import __version__

app = typer.Typer(
    help="Search compound scaling and feature networks of object detectors under a hard budget.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
)

DataDir = Annotated[Path | None, typer.Option("--data", help="COCO folder, in place of the plan's data.source.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Override a key of the plan: `recipe.epochs=5`; may be repeated.")
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"scalesearch {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    pass


@app.command()
def search(
    plan: Annotated[Path, typer.Argument(help="A plan, such as search_spaces/quickstart.yaml.")],
    data: DataDir = None,
    out: Annotated[Path | None, typer.Option(help="The study's folder; results/<name of the plan> by default.")] = None,
    trials: Annotated[int | None, typer.Option(help="Candidates to train, in place of the plan's number.")] = None,
    set_: Set = None,
) -> None:
    """Search, train the winners, and report; the same command continues what was interrupted.

    Examples:

        scalesearch search search_spaces/quickstart.yaml

        scalesearch search search_spaces/topology.yaml --data coco/ --trials 6 --set recipe.epochs=10
    """
    from scalesearch import launch
    from scalesearch.console import RichConsole
    from scalesearch.plan.plan import read_plan

    overrides = [*(set_ or [])]
    overrides += [f"data.source={data}"] if data else []
    overrides += [f"trials={trials}"] if trials is not None else []
    study = read_plan(plan, overrides)
    folder = out or Path("results") / study.name
    with RichConsole() as console:
        report = launch.search(study, folder, console)
        console.say(f"report: {report}")


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="The folder of a study.")]) -> None:
    """Write a study's tables, picture and page again from its rows.

    Example:

        scalesearch report results/quickstart
    """
    from scalesearch.plan.plan import read_plan
    from scalesearch.records.folder import PLAN, read_rows
    from scalesearch.report.write import write_report

    if not (folder / PLAN).exists():
        raise ValueError(f"{folder}: a study's folder has a {PLAN}, but this one has none; name one under results/")
    typer.echo(write_report(folder, read_plan(folder / PLAN), read_rows(folder)))


@app.command()
def cost(
    designs: Annotated[list[str], typer.Argument(help="d0 .. d7, or files with a detector or a result row.")],
    classes: Annotated[int | None, typer.Option(help="Object classes; 90, or the file's, by default.")] = None,
    size: Annotated[str | None, typer.Option(help="Input as HxW; native by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One object, a list for several.")] = False,
) -> None:
    """Parameters, multiply-adds and activations, part by part, without building anything.

    Examples:

        scalesearch cost d0

        scalesearch cost d0 d3 my_detector.yaml --classes 20 --size 384x640 --json
    """
    from scalesearch.arch.cost import breakdown
    from scalesearch.console import cost_table
    from scalesearch.plan.design import read_design
    from scalesearch.profile.resolve import resolve_spec

    specs = [resolve_spec(read_design(design, classes, size)) for design in designs]
    costs = [breakdown(spec) for spec in specs]
    if as_json:
        data = [cost.to_dict() for cost in costs]
        typer.echo(json.dumps(data if len(data) > 1 else data[0], indent=2))
    else:
        cost_table(designs, specs, costs)


@app.command()
def train(
    design: Annotated[str, typer.Argument(help="d0 .. d7, or a file with a detector or a result row.")],
    data: Annotated[str, typer.Option(help="COCO folder, or digits.")] = "digits",
    recipe: Annotated[Path | None, typer.Option(help="YAML file of recipe fields.")] = None,
    seed: Annotated[int, typer.Option(help="Of the weights, the order and the augmentation.")] = 0,
    size: Annotated[str | None, typer.Option(help="Input as HxW; native by default.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the checkpoint and the result.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="A recipe field: `epochs=10`; may be repeated.")] = None,
) -> None:
    """Train one detector on all of train and score it on val; the same command continues an interruption.

    Example:

        scalesearch train results/quickstart/rows/search-000003.json --data digits --set epochs=60
    """
    from scalesearch import launch
    from scalesearch.console import RichConsole
    from scalesearch.plan.design import read_design, read_recipe_file

    chosen = read_recipe_file(recipe, set_ or [])
    with RichConsole() as console:
        launch.train(read_design(design, None, size), chosen, data=data, seed=seed, out=out, console=console)


def main() -> None:
    """The console script: ValueError and missing files are one line and status 2; Ctrl-C is 130."""
    try:
        app()
    except (ValueError, FileNotFoundError) as error:
        print(f"scalesearch: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("scalesearch: stopped; the same command continues from here", file=sys.stderr)
        sys.exit(130)
