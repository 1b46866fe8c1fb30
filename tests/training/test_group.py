"""Trainings that share a frozen backbone end to the bit as each alone: resumed, after a rung, beside one that fails."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from scalesearch.arch.backbone import EfficientNet
from scalesearch.arch.networks import fpn, panet
from scalesearch.arch.spec import Anchors
from scalesearch.data.sets import Data, open_data
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.task import Outcome, Task, TaskError
from scalesearch.training import checkpoint, learning_curve
from scalesearch.training.run_task import run_task, run_tasks
from tests.conftest import write_coco
from tests.detectors import TINY
from tests.displays import watched
from tests.training.test_run_task import RECIPE, data, one_thread, same, task  # noqa: F401 - fixtures

FROZEN = dataclasses.replace(RECIPE, epochs=2, freeze="backbone", stochastic_depth=0.5, mosaic=0.3)
NECKS = [
    TINY,
    dataclasses.replace(TINY, topology=fpn(3, 5), width=16, anchors=Anchors(scale=2)),
    # As wide as the backbone's coarsest map, which the feature network reads as it is.
    dataclasses.replace(TINY, topology=panet(3, 5), width=TINY.backbone.channels(5), order="conv_norm_act"),
]


def tasks(folder: Path, recipe: Recipe = FROZEN, **changes: object) -> list[Task]:
    return [task(folder / str(i), recipe, **{"spec": spec, **changes}) for i, spec in enumerate(NECKS)]


def run_alone(folder: Path, data: Data, recipe: Recipe = FROZEN, **changes: object) -> list[Outcome]:  # noqa: F811
    return [run_task(one, data) for one in tasks(folder, recipe, **changes)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Outcome]]:
    """Trainings each alone, on the images of `data`: their folder and what came of them."""
    folder, before = tmp_path_factory.mktemp("alone"), torch.get_num_threads()
    for split, count, seed in (("train", 10, 0), ("val", 4, 1)):
        write_coco(folder / "coco", split, count=count, seed=seed)
    torch.set_num_threads(1)
    outcomes = run_alone(folder, open_data(folder / "coco"))
    torch.set_num_threads(before)
    return folder, outcomes


def assert_equal(folders: Sequence[Path], *outcomes: Sequence[Outcome | Exception]) -> None:
    for i, found in enumerate(zip(*outcomes, strict=True)):
        assert all(isinstance(one, Outcome) and one.state == "complete" for one in found)
        told = [(one.curve, one.losses, one.per_class, one.steps, one.matched) for one in found]  # type: ignore[union-attr]
        assert told[0] == told[1] and told[0][0]
        assert same(*(folder / str(i) for folder in folders))


def test_each_ends_as_alone(data: Data, tmp_path: Path, alone: tuple[Path, list[Outcome]]) -> None:  # noqa: F811
    folder, outcomes = alone
    together = run_tasks(tasks(tmp_path), data)
    assert_equal([tmp_path, folder], together, outcomes)
    assert len({outcome.losses for outcome in outcomes}) == len(NECKS)
    # A finished one is answered from its checkpoint, beside another that is not.
    (tmp_path / "0" / checkpoint.LAST).unlink()
    assert_equal([tmp_path, folder], run_tasks(tasks(tmp_path), data), outcomes)


def test_a_rung_and_the_rest(data: Data, tmp_path: Path) -> None:  # noqa: F811
    folders = [tmp_path / "together", tmp_path / "alone"]
    rung = {"to_epoch": 1, "images": 0.6, "scale": 0.7}
    assert_equal(folders, run_tasks(tasks(folders[0], **rung), data), run_alone(folders[1], data, **rung))
    assert_equal(folders, run_tasks(tasks(folders[0]), data), run_alone(folders[1], data))


def test_killed_and_resumed(
    data: Data,  # noqa: F811
    tmp_path: Path,
    alone: tuple[Path, list[Outcome]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(learning_curve, "SAVE_SECONDS", 0.0)
    # At the second training's second step, and again when the first is ahead by one; then in the second epoch.
    for cuts, places in (([5, 2], [(0, 2), (0, 2), (0, 1)]), ([8], [(1, 1), (1, 0), (1, 0)])):
        folder = tmp_path / str(cuts)
        for cut in cuts:
            seen: list[str] = []

            def interrupt(done: int, total: int, text: str, seen: list[str] = seen, cut: int = cut) -> None:
                seen += [text] if text.startswith("epoch") else []
                if len(seen) == cut:
                    raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt), watched(interrupt):
                run_tasks(tasks(folder), data)
        states = [torch.load(folder / str(i) / checkpoint.LAST, weights_only=True) for i in range(len(NECKS))]
        assert [(state["epoch"], state["step"]) for state in states] == places
        assert_equal([folder, alone[0]], run_tasks(tasks(folder), data), alone[1])


def test_what_a_trunk_is(tmp_path: Path) -> None:
    first = task(tmp_path, FROZEN)
    assert len({one.trunk for one in tasks(tmp_path)}) == 1 and first.trunk
    others: list[dict[str, object]] = [
        {"seed": 1},
        {"to_epoch": 1},
        {"scale": 0.7},
        {"images": 0.5},
        {"evaluate_on": "val"},
        {"recipe": dataclasses.replace(FROZEN, learning_rate=1e-3)},
        {"spec": dataclasses.replace(TINY, size=(64, 64))},
        {"spec": dataclasses.replace(TINY, topology=fpn(4, 5))},
        {"spec": dataclasses.replace(TINY, backbone=EfficientNet(width=0.25, depth=0.5))},
        {"spec": dataclasses.replace(TINY, normalisation="half")},
    ]
    assert len({task(tmp_path, **{"recipe": FROZEN, **change}).trunk for change in others}) == len(others)
    trained: list[dict[str, object]] = [{"freeze": "none"}, {"freeze": "3"}, {"unfreeze_at": 1}, {"compile": True}]
    for change in trained:
        assert task(tmp_path, FROZEN.replaced(change)).trunk == ""


def test_one_that_fails_falls_out_alone(data: Data, tmp_path: Path, alone: tuple[Path, list[Outcome]]) -> None:  # noqa: F811
    first, second, third = tasks(tmp_path)
    run_task(dataclasses.replace(first, to_epoch=1), data)
    state = checkpoint.load(first.folder)
    assert state is not None
    for name, value in state["model"].items():
        if name.startswith("class_head.") and value.is_floating_point():
            value.fill_(torch.nan)
    checkpoint.save(first.folder, state)
    run_task(dataclasses.replace(second, seed=1, to_epoch=1), data)
    failed, refused, complete = run_tasks([first, second, third], data)
    assert isinstance(failed, Outcome) and failed.state == "failed" and "not finite at step 3" in failed.reason
    assert isinstance(refused, TaskError) and "a folder belongs to one training" in str(refused)
    assert isinstance(complete, Outcome) and complete.curve == alone[1][2].curve
    assert same(third.folder, alone[0] / "2")
