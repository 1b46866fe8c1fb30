"""Recipe and Task as data: identity, strictness, ranges."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scalesearch.arch.scaling import named
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.task import Task


def test_to_dict_and_from_dict_are_inverse() -> None:
    recipe = Recipe(epochs=7, jitter=(1, 1), ema=0.0, flip=False)
    data = recipe.to_dict()
    assert data["jitter"] == [1.0, 1.0] and "optimizer" not in data
    assert Recipe.from_dict(json.loads(json.dumps(data))) == recipe
    assert Recipe().to_dict() == {}


def test_the_id_is_of_what_differs() -> None:
    assert Recipe().id == Recipe(epochs=Recipe().epochs).id
    assert Recipe(clip=3).id == Recipe(clip=3.0).id
    assert len({Recipe().id, Recipe(epochs=99).id, Recipe(flip=False).id}) == 3


def test_replaced_keeps_the_rest() -> None:
    recipe = Recipe(batch=4).replaced({"epochs": 3})
    assert (recipe.batch, recipe.epochs) == (4, 3)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"epoch": 3}, "a recipe has the fields .* but got 'epoch'"),
        ({"epochs": 2.5}, "epochs must be an integer, but got 2.5"),
        ({"epochs": True}, "epochs must be an integer, but got True"),
        ({"epochs": 0}, "1 <= epochs"),
        ({"learning_rate": "0.1"}, "learning_rate must be a number, but got '0.1'"),
        ({"learning_rate": float("nan")}, "learning_rate must be finite"),
        ({"flip": 1}, "flip must be true or false"),
        ({"optimizer": "adam"}, "optimizer must be one of adamw, sgd"),
        ({"jitter": [1.5, 0.5]}, "jitter must be a pair with 0.01 <= low <= high"),
        ({"jitter": [1.0]}, "jitter must be a list of 2 numbers"),
        ({"jitter": 1.0}, "jitter must be a list of 2 numbers"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(data: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        Recipe.from_dict(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("epochs", [(0, 0), (3, 2), (-1, 2), (0, 31)])
def test_a_task_stays_inside_its_recipe(epochs: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="0 <= from_epoch < to_epoch <= epochs"):
        Task(
            spec=named("d0"), recipe=Recipe(epochs=30), seed=0, from_epoch=epochs[0], to_epoch=epochs[1], folder=Path()
        )
