"""What trainings start from and what of it they keep: initial weights, the normalisation of their images, frozen stages."""

from __future__ import annotations

from scalesearch.io.text import for_markdown
from scalesearch.plan.recipe import NONE, Recipe
from scalesearch.records.row import Row
from scalesearch.report.facts import Facts


def start_text(facts: Facts) -> str:
    """Say what the trainings of the search and the final ones start from; '' where all train all of random weights."""
    search, final = facts.plan.recipe, facts.plan.winners.recipe
    rows = [row for trial in facts.trials for row in trial.rows]
    if not rows or all(_of(recipe) == _of(Recipe()) for recipe in (search, final)):
        return ""
    text = f"The trainings of the search start from {_weights(search)}{_normalised(rows)}; {_frozen(search)}."
    if _of(search) != _of(final):
        text += f" The final ones start from {_weights(final)}; {_frozen(final)}."
    return text


def _of(recipe: Recipe) -> tuple[object, ...]:
    start = recipe.weights, recipe.pretrained, recipe.weights_hash
    return (*start, recipe.freeze, recipe.unfreeze_at, recipe.backbone_lr)


def _weights(recipe: Recipe) -> str:
    hashed = "" if recipe.weights_hash == NONE else f" (sha256 {recipe.weights_hash})"
    if recipe.source:
        return f"the weights {for_markdown(recipe.source)}{hashed}"
    return f"timm's pretrained weights of the backbone{hashed}" if recipe.pretrained else "random weights"


def _frozen(recipe: Recipe) -> str:
    if recipe.freeze == NONE:
        text = "all of it is trained"
    else:
        which = "the backbone is" if recipe.freeze == "backbone" else f"its stages up to level {recipe.freeze} are"
        until = f" before epoch {recipe.unfreeze_at}" if recipe.unfreeze_at else ""
        text = f"{which} frozen{until}"
    return text + (f", the backbone at {recipe.backbone_lr:g} of the learning rate" if recipe.backbone_lr != 1 else "")


def _normalised(rows: list[Row]) -> str:
    return f", with images normalised by {', '.join(sorted({row.spec.normalisation for row in rows}))}"
