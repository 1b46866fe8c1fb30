"""Frozen stages: they stay to the bit, keep nothing for backward, and are trained from the epoch that the recipe says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from scalesearch.arch.backbone import EfficientNet, TimmBackbone
from scalesearch.arch.depth import effective_depth
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.memory import TrainingSettings as Setting
from scalesearch.cost.memory import training_memory
from scalesearch.data.pixels import open_pixels
from scalesearch.data.sets import Data
from scalesearch.nn.detector import build
from scalesearch.nn.frozen import frozen_names, set_frozen, train_unfrozen
from scalesearch.plan.recipe import Recipe
from scalesearch.profile.memory_trace import kept_bytes
from scalesearch.profile.resolve import resolve_spec
from scalesearch.training import learning_curve
from scalesearch.training.loop import Training
from scalesearch.training.optimizer import make_optimizer, set_rate
from scalesearch.training.run_task import run_task
from tests.detectors import TINY
from tests.displays import watched
from tests.training.test_run_task import RECIPE, data, one_thread, same, task, weights  # noqa: F401 - fixtures

DEEP = dataclasses.replace(TINY, backbone=EfficientNet(width=0.25, depth=0.5))
RESNET = dataclasses.replace(TINY, size=(64, 64), backbone=TimmBackbone(name="test_resnet"))
PHASES = dataclasses.replace(RECIPE, freeze="backbone", unfreeze_at=2, backbone_lr=0.1, stochastic_depth=0.5)


def start(spec: DetectorSpec, recipe: Recipe) -> dict[str, Tensor]:
    """The initial weights of a training."""
    torch.manual_seed(0)
    return build(spec, stochastic_depth=recipe.stochastic_depth).state_dict()


def stages(spec: DetectorSpec, freeze: str) -> set[str]:
    """The frozen parameters' modules, two names deep inside the backbone."""
    detector = build(resolve_spec(spec))
    return {".".join(name.split(".")[1:3]) for name in frozen_names(detector, freeze)}


def test_which_stages_a_level_means() -> None:
    assert stages(DEEP, "none") == set()
    assert stages(DEEP, "1") == {"conv_stem.weight", "bn1.weight", "bn1.bias", "blocks.0"}
    assert stages(DEEP, "3") == stages(DEEP, "1") | {"blocks.1", "blocks.2"}
    assert stages(DEEP, "5") == stages(DEEP, "backbone") >= stages(DEEP, "4") | {"blocks.6"}
    assert stages(RESNET, "2") == {"model.conv1", "model.bn1", "model.layer1"}
    assert stages(RESNET, "3") == stages(RESNET, "2") | {"model.layer2"}
    assert stages(RESNET, "5") == stages(RESNET, "backbone") == stages(RESNET, "3") | {"model.layer3", "model.layer4"}
    lite = dataclasses.replace(TINY, size=(64, 64), backbone=TimmBackbone(name="tf_efficientnet_lite0"))
    closed = dataclasses.replace(TINY, size=(64, 64), backbone=EfficientNet(lite=True))
    theirs = {name.replace("backbone.model.", "backbone.") for name in frozen_names(build(resolve_spec(lite)), "3")}
    assert theirs == frozen_names(build(closed), "3")


def test_a_backbone_without_a_map_there_is_named() -> None:
    vit = dataclasses.replace(TINY, size=(64, 64), backbone=TimmBackbone(name="convnext_atto"))
    with pytest.raises(
        ValueError, match="freeze: 1 is up to the map of that level, but a backbone needs a map at stride 2"
    ):
        frozen_names(build(resolve_spec(vit)), "1")


@pytest.mark.parametrize("freeze", ["backbone", "3"])
def test_what_is_frozen_stays_and_the_rest_does_not(freeze: str, data: Data, tmp_path: Path) -> None:  # noqa: F811
    recipe = dataclasses.replace(RECIPE, epochs=2, freeze=freeze, stochastic_depth=0.5)
    training = Training(task(tmp_path, recipe, spec=DEEP), open_pixels(data.train, DEEP.size), torch.device("cpu"))
    for _ in range(2):
        training.train_epoch()
    assert training.notes == ("the frozen stages have random weights: set pretrained or weights, or freeze: none",)
    still = {name.rpartition(".")[0] for name in training.frozen}
    before, after = start(DEEP, recipe), training.model.state_dict()
    for model in (training.model, training.average.model, training.evaluated()):
        after = model.state_dict()
        assert all(torch.equal(after[name], was) for name, was in before.items() if name.rpartition(".")[0] in still)
        # Biases before a norm have no gradient, and counters of batches are no weights.
        moved = [name for name, was in before.items() if not torch.equal(after[name], was)]
        assert {name.split(".")[0] for name in moved} >= {"neck", "class_head", "box_head"}
        assert any(name.startswith("backbone.") for name in moved) == (freeze == "3")
        assert {name for name in before if "running_mean" in name and name not in moved} == {
            f"{name}.running_mean" for name in still if f"{name}.running_mean" in before
        }
    states = training.optimizer.state_dict()["state"]
    assert len(states) == sum(parameter.requires_grad for parameter in training.model.parameters())


def test_nothing_frozen_is_kept_for_backward() -> None:
    spec = dataclasses.replace(DEEP, size=(64, 96), width=24, head_width=24)
    setting, images = Setting(batch=2, frozen=True), torch.randn(2, 3, *spec.size)
    sizes = {}
    for freeze in ("none", "3", "backbone"):
        detector = build(spec)
        set_frozen(detector, frozen_names(detector, freeze))
        train_unfrozen(detector)
        sizes[freeze] = kept_bytes(detector, lambda model=detector: model(images))
    assert sizes["none"] > sizes["3"] > sizes["backbone"]
    # The arithmetic counts the same, and the gradient that the loss keeps.
    saved = training_memory(spec, Setting(batch=2)) - training_memory(spec, setting)
    params = sum(parameter.numel() for parameter in build(spec).backbone.parameters())
    assert saved - 4 * 3 * params == pytest.approx(sizes["none"] - sizes["backbone"], rel=0.01)


def test_two_phases_go_on_where_they_stopped(
    data: Data,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(learning_curve, "SAVE_SECONDS", 0.0)
    whole = run_task(task(tmp_path / "whole", PHASES, spec=DEEP), data)
    for cut in ("epoch 2", "epoch 3"):

        def interrupt(done: int, total: int, text: str, at: str = cut) -> None:
            if text.startswith(at):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt), watched(interrupt):
            run_task(task(tmp_path / cut, PHASES, spec=DEEP), data)
        again = run_task(task(tmp_path / cut, PHASES, spec=DEEP), data)
        assert same(tmp_path / "whole", tmp_path / cut) and again.curve == whole.curve
    run_task(task(tmp_path / "parts", PHASES, spec=DEEP, to_epoch=2), data)
    before = start(DEEP, PHASES)
    first = weights(tmp_path / "parts")
    assert all(torch.equal(first[f"model.{name}"], was) for name, was in before.items() if name.startswith("backbone."))
    run_task(task(tmp_path / "parts", PHASES, spec=DEEP, from_epoch=2), data)
    assert same(tmp_path / "whole", tmp_path / "parts")
    second = weights(tmp_path / "parts")
    assert not torch.equal(second["model.backbone.conv_stem.weight"], before["backbone.conv_stem.weight"])


def rates_of(spec: DetectorSpec, recipe: Recipe) -> dict[str, float]:
    """The rate of each parameter, by the base's of 1."""
    detector = build(spec)
    optimizer = make_optimizer(detector, recipe)
    set_rate(optimizer, 1.0)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert len(rates) == len(list(detector.parameters())) and all(group["params"] for group in optimizer.param_groups)
    decayed = {id(p) for group in optimizer.param_groups if group["weight_decay"] > 0 for p in group["params"]}
    assert decayed == {id(p) for p in detector.parameters() if p.ndim > 1}
    return {name: rates[id(parameter)] for name, parameter in detector.named_parameters()}


def test_a_rate_that_follows_the_width() -> None:
    wide = dataclasses.replace(TINY, width=32, head_width=32)
    rates = rates_of(wide, Recipe(rate_width=8, backbone_lr=0.5))
    shapes = {name: parameter.shape for name, parameter in build(wide).named_parameters()}
    for name, rate in rates.items():
        if name.startswith("backbone."):
            assert rate == 0.5
        elif len(shapes[name]) == 4 and shapes[name][1] == 32 and "lateral" not in name:
            assert rate == 0.25
        else:  # depthwise, laterals, norms and biases
            assert rate == 1.0
    assert {0.25, 0.5, 1.0} == set(rates.values())
    assert set(rates_of(TINY, Recipe(rate_width=8)).values()) == {1.0}


def test_a_rate_that_follows_the_depth() -> None:
    reference = effective_depth(TINY)
    assert set(rates_of(TINY, Recipe(rate_depth=reference)).values()) == {1.0}
    deep = dataclasses.replace(TINY, repeats=4)
    rates = rates_of(deep, Recipe(rate_depth=reference))
    expected = (reference / effective_depth(deep)) ** 1.5
    for name, rate in rates.items():
        assert rate == pytest.approx(1.0 if name.startswith("backbone.") else expected)
    assert expected < 0.5


def test_the_backbones_rate_has_a_factor() -> None:
    detector = build(TINY)
    optimizer = make_optimizer(detector, Recipe(backbone_lr=0.1))
    set_rate(optimizer, 0.5)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in detector.named_parameters():
        assert rates[id(parameter)] == pytest.approx(0.05 if name.startswith("backbone.") else 0.5)
    assert [group["weight_decay"] > 0 for group in optimizer.param_groups] == [True, False, True, False]
    assert len(make_optimizer(detector, Recipe()).param_groups) == 2
