"""The verbs of one detector: train."""

from __future__ import annotations

from pathlib import Path

import click

from scalesearch.cli.options import PATH, SIZE, note


@click.command()
@click.argument("design")
@click.option("--data", default="digits", show_default=True, help="COCO folder, or digits.")
@click.option("--recipe", type=PATH, help="short (the default), efficientdet, or a YAML file of fields.")
@click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE", help="Override a recipe field; may be repeated.")
@click.option("--seed", default=0, show_default=True, help="Of the weights, the order and the augmentation.")
@click.option("--weights", type=PATH, help="Start from this checkpoint, .pth or .safetensors, ours or effdet's.")
@SIZE
@click.option("--out", type=PATH, help="Folder of the checkpoint and of result.json; under results/ by default.")
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

    The same command continues what was interrupted. Several GPUs or machines train one detector, each its part of a
    batch, where torchrun starts them.

    \b
    Examples:
      scalesearch train results/quickstart/rows/search-000003.json --set epochs=60
      scalesearch train d0 --data coco/ --size 256x256 --recipe my_recipe.yaml
      scalesearch train d1 --data coco/ --recipe efficientdet --set epochs=50 --set precision=bf16
      torchrun --nproc-per-node 8 -m scalesearch train d1 --data coco/ --recipe efficientdet
    """
    from scalesearch.console import RichConsole
    from scalesearch.launch.single import train as run
    from scalesearch.plan.design import read_design, read_recipe_file
    from scalesearch.train.distributed import joined

    with joined() as team, RichConsole() as console:
        spec, chosen = read_design(design, size=size, say=note), read_recipe_file(recipe, changes)
        run(spec, chosen, data=data, seed=seed, out=out, console=console, weights=weights, team=team)
