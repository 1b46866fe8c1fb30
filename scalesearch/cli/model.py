"""Command that trains detectors: train."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path

import click

from scalesearch.cli.options import BATCH, COUNT, DEVICE, FOLDER, PATH, SEED, SIZE, Finite, need_data, need_device
from scalesearch.inputs.quoting import quoted

logger = logging.getLogger(__name__)


def _seeds(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    parts = [part.strip() for part in value.split(",")]
    if not all(re.fullmatch(r"[0-9]{1,18}", part) for part in parts) or len(set(parts)) < len(parts):
        raise click.BadParameter(
            f"must be different whole numbers separated by commas, as 0,1,2, but got {quoted(value)}"
        )
    return tuple(int(part) for part in parts)


def read_splits(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, str] | None:
    if value is None:
        return None
    names = [part.strip() for part in value.split(",")]
    if len(names) != 2 or not all(names):
        raise click.BadParameter(
            f"must be two names separated by a comma, as train2017,val2017, but got {quoted(value)}"
        )
    return names[0], names[1]


@click.command()
@click.argument("design", required=False)
@click.option(
    "--data",
    help="Folder of an export (docs/data.md), or digits (drawn pictures); with --from, where the study's data is now.",
)
@click.option("--splits", callback=read_splits, metavar="TRAIN,VAL", help="Names of its splits; train,val by default.")
@click.option("--recipe", type=PATH, help="short (the default), efficientdet, or a YAML file of fields.")
@click.option(
    "--set", "changes", multiple=True, metavar="FIELD=VALUE", help="Override a recipe field; may be repeated."
)
@click.option("--epochs", type=COUNT, help="Epochs of the recipe, as --set epochs=N.")
@click.option("--batch", type=BATCH, help="Images a step, as --set batch=N.")
@click.option("--lr", type=Finite(0), help="Peak learning rate, as --set learning_rate=X.")
@DEVICE
@click.option(
    "--anchors", type=click.Choice(["auto"]), help="auto: fitted to the boxes of train; those of DESIGN by default."
)
@click.option("--seed", type=SEED, help="Seed of weights, order and augmentation; 0 by default.")
@click.option(
    "--weights", type=PATH, help="Start from this file, run's folder or installed package, also of a backbone alone."
)
@SIZE
@click.option("--tensorboard", is_flag=True, help="Write a log for TensorBoard beside log.csv.")
@click.option("--from", "study", type=PATH, help="Train the best of the front of this study's folder instead.")
@click.option("--top", type=click.IntRange(1, 1000), help="With --from, the number of trials to train; 3 by default.")
@click.option(
    "--seeds", callback=_seeds, metavar="N,N,...", help="With --from, the seeds of each trial; the plan's by default."
)
@click.option("--out", type=FOLDER, help="Folder of the checkpoint and of result.json; under results/ by default.")
def train(
    design: str | None,
    data: str | None,
    splits: tuple[str, str] | None,
    recipe: Path | None,
    changes: tuple[str, ...],
    epochs: int | None,
    batch: int | None,
    lr: float | None,
    device: str | None,
    anchors: str | None,
    seed: int | None,
    weights: Path | None,
    size: str | None,
    out: Path | None,
    tensorboard: bool,
    study: Path | None,
    top: int | None,
    seeds: tuple[int, ...] | None,
) -> None:
    """Train DESIGN (d0 .. lite4, or a file) on all of train and score it on val, or the best of a study --from.

    The folder has last.pt, the weights that results belong to, and best.pt, those of the best evaluation by AP. The same
    command continues what was interrupted. Several GPUs or machines train one detector, each its part of a batch, if
    torchrun starts them.

    \b
    Examples:
      scalesearch train d0 --data export/ --size 256x256 --epochs 60 --anchors auto
      scalesearch train results/quickstart/rows/search-000003.json --epochs 60
      scalesearch train d0 --data coco/ --size 256x256 --recipe my_recipe.yaml
      scalesearch train d1 --data coco/ --splits train2017,val2017 --recipe efficientdet --set precision=bf16
      torchrun --nproc-per-node 8 -m scalesearch train d1 --data coco/ --recipe efficientdet
      scalesearch train --from results/quickstart --top 3 --recipe full.yaml --seeds 0,1,2
    """
    short = {"epochs": epochs, "batch": batch, "learning_rate": lr}
    changes = (*changes, *(f"{name}={value}" for name, value in short.items() if value is not None))
    if study:
        others = {
            "DESIGN": design,
            "--splits": splits,
            "--seed": seed,
            "--weights": weights,
            "--size": size,
            "--anchors": anchors,
            "--out": out,
        }
        _refuse("--from", {**others, "--tensorboard": tensorboard or None})
        _train_front(study, top or 3, recipe, changes, seeds, data, device)
        return
    _refuse("DESIGN", {"--top": top, "--seeds": seeds})
    from scalesearch.io.cache import cache_folder
    from scalesearch.io.target import claim_folder
    from scalesearch.training.folder import claim_training

    if design is None:
        raise ValueError("train needs a DESIGN, or --from a study's folder, but got neither")
    from scalesearch.plan.design import fits_anchors, read_design, read_recipe_file

    spec, chosen = read_design(design, size=size), read_recipe_file(recipe, changes)
    need_data(data or "digits", splits or ("train", "val"))
    if out:
        claim_training(out)
    claim_folder(cache_folder(), "the cache")
    if data is None:
        logger.info(
            "no --data: training on digits, drawn pictures of handwritten digits; give your own by --data FOLDER"
        )
    need_device(device)
    from scalesearch.app.train_one import train as run
    from scalesearch.console.progress import RichConsole
    from scalesearch.io.logs import at_level
    from scalesearch.training.distributed import joined

    with joined() as team, RichConsole() as console, at_level("scalesearch.training", console.detail):
        run(
            spec,
            chosen,
            data=data or "digits",
            splits=splits or ("train", "val"),
            seed=seed or 0,
            out=out,
            weights=weights,
            fit=anchors == "auto" or fits_anchors(design),
            tensorboard=tensorboard,
            team=team,
        )


def _refuse(given: str, others: Mapping[str, object]) -> None:
    """Raise ValueError where another option is given that does not go with `given`."""
    if wrong := [name for name, value in others.items() if value is not None]:
        raise ValueError(f"{wrong[0]} does not go with {given}: leave one of them out")


def _train_front(
    study: Path,
    top: int,
    recipe: Path | None,
    changes: tuple[str, ...],
    seeds: tuple[int, ...] | None,
    data: str | None,
    device: str | None,
) -> None:
    from scalesearch.io.target import claim_folder
    from scalesearch.plan.design import read_recipe_file
    from scalesearch.plan.plan import read_plan
    from scalesearch.records.folder import PLAN, check_study

    check_study(study)
    plan = read_plan(study / PLAN)
    if recipe:
        read_recipe_file(recipe, changes)
    need_data(data or plan.data.source, (plan.data.train, plan.data.val))
    claim_folder(study, "a study")
    need_device(device)
    from scalesearch.app.train_front import train_front
    from scalesearch.console.progress import RichConsole
    from scalesearch.webpage.write_page import NAME

    with RichConsole():
        report = train_front(study, top=top, recipe=recipe, changes=changes, seeds=seeds, data=data)
        logger.info(f"report: {report}, and as a page {NAME}")
