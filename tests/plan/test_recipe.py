"""Recipe and Task as data: identity, strictness, ranges."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scalesearch.arch.scaling import named
from scalesearch.plan.design import read_recipe_file
from scalesearch.plan.recipe import PRESETS, Recipe
from scalesearch.plan.task import Task
from scalesearch.plan.yaml_tree import PlanError


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


def test_the_id_is_of_the_content_of_weights_once_it_is_known() -> None:
    here, there = (Recipe(weights=place, weights_hash="a" * 12) for place in ("a.pth", "b.pth"))
    assert here.id == there.id != Recipe(weights="a.pth").id
    assert here.id != Recipe(weights="a.pth", weights_hash="b" * 12).id
    assert here.replaced({"epochs": 3}).weights_hash == "a" * 12
    assert here.replaced({"weights": "b.pth"}).weights_hash == here.replaced({"weights": "none"}).weights_hash == "none"
    assert Recipe(freeze=3) == Recipe(freeze="3")  # type: ignore[arg-type]


def test_steps_are_as_many_epochs_as_they_need() -> None:
    recipe = Recipe(steps=1500, batch=8)
    for images, epochs, each in (
        (3, 1500, 1),
        (100, 125, 12),
        (164, 75, 20),
        (180, 69, 22),
        (5000, 3, 500),
        (20_000, 1, 1500),
    ):
        found = recipe.for_images(images)
        assert (found.epochs, found.steps_of_epoch(images)) == (epochs, each)
        assert found.steps_of_epoch(images // 2) <= each  # a rung with fewer images
    assert recipe.for_images(164).for_images(205) == recipe.for_images(205)
    assert Recipe().for_images(100) is not None and Recipe(epochs=7).for_images(9).epochs == 7
    assert recipe.for_images(164).id != recipe.for_images(205).id != Recipe(epochs=60).id
    assert Recipe.from_dict(recipe.for_images(164).to_dict()) == recipe.for_images(164)
    assert recipe.replaced({"epochs": 3}) == Recipe(epochs=3) and Recipe(epochs=3).replaced({"steps": 9}).steps == 9
    late = Recipe(steps=1500, freeze="backbone", unfreeze_at=70)
    assert late.for_images(164).unfreeze_at == 70
    with pytest.raises(ValueError, match="unfreeze_at must be below the 60 epochs, but got 70"):
        late.for_images(205)


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
        ({"colour": [0.1, 0.1]}, "colour must be a list of 4 numbers"),
        ({"colour": [0.1, 0.1, 0.1, 0.6]}, r"colour must be .*hue at most 0.5, but got \[0.1, 0.1, 0.1, 0.6\]"),
        ({"colour": [1.5, 0, 0, 0]}, "colour must be .* 0 <= strength <= 1"),
        ({"mosaic": 1.5}, "mosaic must satisfy 0 <= mosaic <= 1, but got 1.5"),
        ({"stochastic_depth": 1.0}, "stochastic_depth must satisfy 0 <= stochastic_depth <= 0.9"),
        ({"precision": "amp"}, "precision must be one of fp32, bf16, fp16, but got 'amp'"),
        ({"box_loss": "eiou"}, "box_loss must be one of huber, iou, giou, diou, ciou"),
        ({"reference_batch": -1}, "reference_batch must satisfy 0 <= reference_batch"),
        ({"freeze": "all"}, "freeze must be none, backbone, or a level from 1 to 5 .*, but got 'all'"),
        ({"freeze": 6}, "freeze must be none, backbone, or a level from 1 to 5 .*, but got '6'"),
        ({"unfreeze_at": 3}, "unfreeze_at is for frozen stages, but got 3 and freeze: none"),
        ({"freeze": 2, "unfreeze_at": 30}, "unfreeze_at must be below the 30 epochs, but got 30"),
        ({"backbone_lr": 0.0}, "backbone_lr must satisfy 1e-06 <= backbone_lr"),
        ({"rate_width": 64, "optimizer": "sgd"}, "rate_width is a rule for adamw, but got 64 and optimizer: sgd"),
        ({"rate_depth": -1}, "rate_depth must satisfy 0 <= rate_depth"),
        ({"weights": "a.pth", "pretrained": True}, "weights and pretrained are two starts"),
        ({"compile": True, "checkpointing": True}, "compile and checkpointing cannot both be true"),
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


COMMITTED = {
    "a5acd7dd41a1": {"epochs": 3, "flip": False},
    "4039673a4ba2": {"epochs": 5, "flip": False},
    "ca1db88e6357": {"epochs": 4, "flip": False},
    "b68b78bcf7f5": {"epochs": 12},
    "1dae55bf26f6": {"epochs": 24},
    "44136fa355b3": {},
}
"""Recipe ids of the rows under results/ (the last: of the defaults), which new fields must not change."""


@pytest.mark.parametrize("known", COMMITTED)
def test_ids_of_committed_rows_stay(known: str) -> None:
    assert Recipe.from_dict(COMMITTED[known]).id == known


def test_the_rate_is_for_the_reference_batch() -> None:
    assert Recipe(learning_rate=0.3, batch=7).peak == 0.3
    published = PRESETS["efficientdet"]
    assert published.peak == pytest.approx(0.16)  # EfficientDet sec. 5.1, at its batch of 128
    assert published.replaced({"batch": 16}).peak == pytest.approx(0.02)


def test_the_presets() -> None:
    assert PRESETS["short"] == Recipe()
    changed = PRESETS["efficientdet"].to_dict()
    assert changed["optimizer"] == "sgd" and changed["epochs"] == 300 and changed["ema"] == 0.9998
    # What the two have in common is published: focal and Huber loss, weight decay, momentum, clipping, one forced anchor.
    assert not {"focal_alpha", "focal_gamma", "huber_delta", "box_weight", "weight_decay", "momentum"} & set(changed)


def test_a_recipe_is_a_preset_or_a_file_with_overrides(tmp_path: Path) -> None:
    published = PRESETS["efficientdet"]
    assert read_recipe_file(None, []) == Recipe()
    assert read_recipe_file(None, ["preset=efficientdet"]) == published
    assert read_recipe_file(Path("efficientdet"), ["epochs=50"]) == published.replaced({"epochs": 50})
    file = tmp_path / "mine.yaml"
    file.write_text("preset: efficientdet\nbatch: 32\ncolour: [0.4, 0.4, 0.4, 0.1]\n")
    mine = {"batch": 32, "colour": (0.4, 0.4, 0.4, 0.1), "precision": "bf16"}
    assert read_recipe_file(file, ["precision=bf16"]) == published.replaced(mine)
    with pytest.raises(
        PlanError, match="a recipe is one of short, efficientdet or a YAML file, but full.yml is neither"
    ):
        read_recipe_file(Path("full.yml"), [])
    file.write_text("epochs: 3\npreset: eficientdet\n")
    with pytest.raises(PlanError, match=r"mine.yaml:2: preset must be one of short, .* did you mean 'efficientdet'"):
        read_recipe_file(file, [])
