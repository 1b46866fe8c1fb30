"""The task on a tiny set: determinism, continuing, interruption, failure, what it refuses."""

from __future__ import annotations

import dataclasses
import json
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from scalesearch.arch.spec import Anchors
from scalesearch.data.sets import Data, open_data
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.task import Outcome, Task, TaskError
from scalesearch.training import checkpoint, learning_curve
from scalesearch.training import run_task as tasks
from scalesearch.training.coco_metrics import NUMBERS
from scalesearch.training.log import read_log
from scalesearch.training.run_task import run_task
from tests.detectors import TINY
from tests.displays import watched

RECIPE = Recipe(epochs=4, batch=3, norm_batches=2)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def data(coco: Path) -> Data:
    return open_data(coco)


def task(folder: Path, recipe: Recipe = RECIPE, **changes: object) -> Task:
    fields = {"spec": TINY, "recipe": recipe, "seed": 0, "to_epoch": recipe.epochs, "folder": folder} | changes
    return Task(**fields)  # type: ignore[arg-type]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    state = checkpoint.load(folder)
    assert state is not None
    return {f"{part}.{name}": value for part in ("model", "average") for name, value in state[part].items()}


def same(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_task_is_a_function_of_its_seed(data: Data, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, epochs=2)
    outcomes = [
        run_task(task(tmp_path / name, recipe, seed=seed), data) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert [outcome.state for outcome in outcomes] == ["complete"] * 3
    assert same(tmp_path / "a", tmp_path / "b") and not same(tmp_path / "a", tmp_path / "c")
    assert outcomes[0].curve == outcomes[1].curve
    ((epoch, numbers),) = outcomes[0].curve
    assert epoch == 2 and tuple(numbers) == NUMBERS
    assert set(outcomes[0].per_class) == {"blue", "red"}
    assert outcomes[0].images_per_second > 0 and outcomes[0].peak_memory > 50e6 and outcomes[0].seconds > 0
    assert len(outcomes[0].matched) == 2 and all("anchors match" in line for line in outcomes[0].matched)
    assert len(outcomes[0].notes) == 1 and "% of the time of training" in outcomes[0].notes[0]


def test_in_parts_is_the_same_as_in_one_go(data: Data, tmp_path: Path) -> None:
    whole = run_task(task(tmp_path / "whole", dataclasses.replace(RECIPE, eval_every=2)), data)
    recipe = dataclasses.replace(RECIPE, eval_every=2)
    first = run_task(task(tmp_path / "parts", recipe, to_epoch=2), data)
    state = torch.load(tmp_path / "parts" / checkpoint.LAST, weights_only=True)
    spent = json.loads(state[checkpoint.EVALUATIONS])["seconds"]
    second = run_task(task(tmp_path / "parts", recipe, from_epoch=2), data)
    assert same(tmp_path / "whole", tmp_path / "parts")
    assert [epoch for epoch, _ in whole.curve] == [2, 4]
    assert whole.curve == second.curve and first.curve == whole.curve[:1]
    assert whole.losses == second.losses and first.losses == whole.losses[:2]
    assert second.seconds > spent > 0  # of both parts
    assert sorted(file.name for file in (tmp_path / "parts").iterdir()) == ["best.pt", "last.pt", "log.csv"]


def test_an_interrupted_task_goes_on_by_itself(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning_curve, "SAVE_SECONDS", 0.0)
    whole = run_task(task(tmp_path / "whole"), data)

    def interrupt(done: int, total: int, text: str) -> None:
        if text.startswith("epoch 3"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), watched(interrupt):
        run_task(task(tmp_path / "cut"), data)
    steps: list[int] = []
    with watched(lambda done, total, text: steps.append(total)):
        outcome = run_task(task(tmp_path / "cut"), data)
    assert outcome.losses == whole.losses
    assert same(tmp_path / "whole", tmp_path / "cut")
    assert steps[-1] == 4  # two epochs of two steps were left


def test_a_finished_task_is_answered_from_its_checkpoint(data: Data, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, epochs=1)
    first = run_task(task(tmp_path, recipe), data)
    second = run_task(task(tmp_path, recipe), data)
    assert (second.curve, second.per_class, second.state) == (first.curve, first.per_class, "complete")


def test_progress_counts_steps(data: Data, tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    with watched(lambda *a: seen.append(a)):
        run_task(task(tmp_path, dataclasses.replace(RECIPE, epochs=2)), data)
    steps = [(done, total) for done, total, text in seen if text.startswith("epoch")]
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4), (4, 4)]


def test_a_loss_that_is_not_finite_is_an_outcome(data: Data, tmp_path: Path) -> None:
    recipe = Recipe(epochs=4, batch=3, learning_rate=100.0, optimizer="sgd", clip=0.0, warmup=0.0, ema=0.0)
    outcome = run_task(task(tmp_path, recipe), data)
    assert outcome.state == "failed" and "\n" not in outcome.reason
    assert "not finite at step " in outcome.reason and "learning rate" in outcome.reason
    known = {str(image.id) for image in data.train.images}
    assert set(outcome.reason.partition("images ")[2].partition(")")[0].split(", ")) <= known


def test_another_training_does_not_take_over_a_folder(data: Data, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, epochs=1)
    run_task(task(tmp_path, recipe), data)
    with pytest.raises(ValueError, match="another spec, recipe, seed, data or split"):
        run_task(task(tmp_path, recipe, seed=1), data)


def test_a_folder_with_another_file_in_the_checkpoints_place_is_refused(data: Data, tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pt")
    for content in (b"garbage", b"", (tmp_path / "other.pt").read_bytes()):
        (tmp_path / checkpoint.LAST).write_bytes(content)
        with pytest.raises(TaskError, match=r"last\.pt.*: move it away to train anew"):
            run_task(task(tmp_path), data)


def test_a_checkpoint_with_text_for_numbers_or_without_a_part_is_refused(data: Data, tmp_path: Path) -> None:
    run_task(task(tmp_path, dataclasses.replace(RECIPE, epochs=1)), data)
    whole = torch.load(tmp_path / checkpoint.LAST, weights_only=True)
    spoilt: list[dict[str, Any]] = [
        {"epoch": "1"},
        {"step": -1},
        {"told": '{"curve": [[1, {"ap": "high"}]], "per_class": {}, "seconds": 1}'},
        {checkpoint.EVALUATIONS: '{"curve": [], "losses": [[1, 0.5]], "per_class": {}, "seconds": 1}'},
        {checkpoint.EVALUATIONS: "[]"},
        {"told": "[" * 100_000},
        {"optimizer": {}},
        {"model": {**whole["model"], "x": 3}},
        {"average": None},
        {"seconds": torch.zeros(2)},
    ]
    for change in spoilt:
        torch.save({**whole, **change}, tmp_path / checkpoint.LAST)
        with pytest.raises(TaskError, match="move it away to train anew") as caught:
            run_task(task(tmp_path, dataclasses.replace(RECIPE, epochs=1)), data)
        assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)


def test_going_on_needs_a_checkpoint(data: Data, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="from epoch 2 needs that checkpoint .* has none"):
        run_task(task(tmp_path, from_epoch=2), data)
    run_task(task(tmp_path, to_epoch=1), data)
    with pytest.raises(ValueError, match="has one of epoch 1"):
        run_task(task(tmp_path, from_epoch=2), data)


def test_a_checkpoint_past_the_task_is_begun_anew(data: Data, tmp_path: Path) -> None:
    run_task(task(tmp_path, to_epoch=2), data)
    outcome = run_task(task(tmp_path, to_epoch=1), data)  # its row was deleted: the study trains it again
    fresh = run_task(task(tmp_path / "fresh", to_epoch=1), data)
    assert (outcome.curve, outcome.losses) == (fresh.curve, fresh.losses)


def test_losses_are_those_of_the_log(data: Data, tmp_path: Path) -> None:
    outcome = run_task(task(tmp_path), data)
    logged = [
        (int(line["epoch"]), *(float(line[name]) for name in ("loss", "class_loss", "box_loss")))
        for line in read_log(tmp_path / "log.csv")
    ]
    assert len(logged) == 4 and list(outcome.losses) == logged
    for _, loss, class_loss, box_loss in outcome.losses:
        assert loss == pytest.approx(class_loss + RECIPE.box_weight * box_loss, rel=1e-4)


def test_a_checkpoint_from_before_losses_were_kept_still_serves(data: Data, tmp_path: Path) -> None:
    whole = run_task(task(tmp_path / "whole"), data)
    run_task(task(tmp_path / "parts", to_epoch=2), data)
    state = torch.load(tmp_path / "parts" / checkpoint.LAST, weights_only=True)
    told = json.loads(state[checkpoint.EVALUATIONS])
    del told["losses"]
    torch.save({**state, checkpoint.EVALUATIONS: json.dumps(told)}, tmp_path / "parts" / checkpoint.LAST)
    outcome = run_task(task(tmp_path / "parts", from_epoch=2), data)
    assert outcome.curve[-1] == whole.curve[-1] and outcome.losses == whole.losses[2:]


def test_train_and_select_together(data: Data, coco: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, epochs=1, batch=100)
    outcome = run_task(task(tmp_path / "a", recipe, train_on="train+select", evaluate_on="val"), data)
    assert outcome.state == "complete"
    both = sum(len(image.boxes[~image.crowd]) for image in (*data.train.images, *data.select.images))
    matched = [line for line in outcome.matched if "anchors match" in line]
    assert sum(int(note.split(" boxes")[0].split()[-1]) for note in matched) == both
    with pytest.raises(ValueError, match="must not train on what is evaluated"):
        run_task(task(tmp_path / "b", recipe, train_on="train+select"), data)
    reported = open_data(coco, select="val")
    with pytest.raises(ValueError, match="must not train on what is evaluated"):
        run_task(task(tmp_path / "c", recipe, train_on="train+select", evaluate_on="val"), reported)


def test_it_learns(data: Data, tmp_path: Path) -> None:
    """Two colours on grey: 60 epochs of 2 steps find them where 1 epoch does not."""
    recipe = Recipe(epochs=60, batch=4, norm_batches=2, learning_rate=0.005, jitter=(0.8, 1.25))

    def ap50(outcome: Outcome) -> float:
        return outcome.curve[-1][1]["ap50"] or 0.0

    untrained = run_task(task(tmp_path / "a", recipe, to_epoch=1), data)
    trained = run_task(task(tmp_path / "b", recipe), data)
    assert ap50(untrained) < 0.1
    assert ap50(trained) > 0.3


def test_weights_of_a_file_are_part_of_what_a_training_is(data: Data, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, epochs=1, learning_rate=0.0, ema=0.0)
    run_task(task(tmp_path / "first", recipe), data)
    file = tmp_path / "first" / checkpoint.LAST
    run_task(task(tmp_path / "second", recipe, seed=1, weights=file), data)

    def kernels(folder: Path) -> dict[str, torch.Tensor]:
        return {name: value for name, value in weights(folder).items() if name.endswith("weight")}

    first, second = kernels(tmp_path / "first"), kernels(tmp_path / "second")
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    with pytest.raises(ValueError, match="or started from other weights"):
        run_task(task(tmp_path / "second", recipe, seed=1), data)


def test_what_a_file_of_weights_does_not_give_is_noted(data: Data, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, epochs=1)
    run_task(task(tmp_path / "first", recipe), data)
    moved = dataclasses.replace(TINY, anchors=Anchors(scale=1.5, octaves=2))
    outcome = run_task(
        task(tmp_path / "second", recipe, spec=moved, weights=tmp_path / "first" / checkpoint.LAST), data
    )
    lines = [note for note in outcome.notes if note.startswith("not taken from last.pt: ")]
    assert len(lines) == 4 and "class_head.predict.conv_pw.weight: [18, 8, 1, 1] in the file, [12, " in lines[0]


def test_checkpointing_changes_no_number(data: Data, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, epochs=1)
    plain = run_task(task(tmp_path / "plain", recipe), data)
    again = run_task(task(tmp_path / "again", dataclasses.replace(recipe, checkpointing=True)), data)
    assert plain.curve == again.curve and same(tmp_path / "plain", tmp_path / "again")


def test_a_lower_rung_sees_fewer_and_smaller_images_and_the_next_goes_on_from_it(data: Data, tmp_path: Path) -> None:
    small = {"images": 0.5, "scale": 0.7, "to_epoch": 2}
    first = run_task(task(tmp_path / "a", **small), data)
    rest = run_task(task(tmp_path / "a", from_epoch=2), data)
    assert [epoch for epoch, _ in first.curve] == [2] and [epoch for epoch, _ in rest.curve] == [2, 4]
    assert rest.curve[0] == first.curve[0] and rest.state == "complete"
    whole, again = run_task(task(tmp_path / "b", to_epoch=2), data), run_task(task(tmp_path / "c", **small), data)
    assert again.curve == first.curve
    assert any(
        not torch.equal(x, y)
        for x, y in zip(weights(tmp_path / "b").values(), weights(tmp_path / "c").values(), strict=True)
    )
    assert whole.curve[0][0] == 2
    assert tasks._seen(task(tmp_path, scale=0.7)).size == (32, 32)  # 34 x 45, in steps of 32
    assert tasks._seen(task(tmp_path, scale=0.1)).size == (32, 32)


def test_a_training_longer_than_its_limit_fails_and_says_so(data: Data, tmp_path: Path) -> None:
    outcome = run_task(task(tmp_path, time_limit=1e-3), data)
    assert outcome.state == "failed" and "longer than the time_limit of 0 s, in epoch 1 of 4" in outcome.reason
    assert run_task(task(tmp_path / "b", time_limit=600.0), data).state == "complete"


def test_a_disk_that_is_full_ends_the_study_and_leaves_the_checkpoint_before(data: Data, tmp_path: Path) -> None:
    run_task(task(tmp_path / "a", to_epoch=1), data)
    before = (tmp_path / "a" / checkpoint.LAST).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(
            TaskError, match=r"a: a checkpoint must fit on its disk, where \d+ MB are free, but writing"
        ):
            run_task(task(tmp_path / "a"), data)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "a" / checkpoint.LAST).read_bytes() == before
    assert not list((tmp_path / "a").glob("*.part"))
