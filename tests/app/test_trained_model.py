"""`scalesearch eval`: the numbers of the training itself, from whatever file; what it refuses."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch

from scalesearch.nn.detector import build
from scalesearch.nn.model_file import KEY, read_description
from scalesearch.plan.design import read_design
from scalesearch.training.checkpoint import BEST, FORMER, LAST
from tests.app.conftest import Command, Trained
from tests.conftest import write_coco
from tests.detectors import TINY


def test_a_folder_has_the_numbers_of_its_training(trained: Trained, command: Command) -> None:
    result = json.loads((trained.folder / "result.json").read_text())
    done = command("eval", trained.folder, "--data", trained.data, "--json")
    assert done.status == 0, done.err
    found = json.loads(done.out)
    epoch, numbers = result["curve"][-1]
    assert (epoch, found["numbers"], found["spec_id"]) == (40, numbers, TINY.id)
    assert found["numbers"]["ap50"] > 0.3
    assert {name: own["ap"] for name, own in found["classes"].items()} == result["per_class"]
    assert sum(own["boxes"] for own in found["classes"].values()) == found["boxes"] > 0
    shown = command("eval", trained.folder, "--data", trained.data).out
    assert f"{numbers['ap']:.3f}" in shown and "last.pt (spec " in shown
    assert {"red", "blue"} <= set(shown.split())


def test_the_best_checkpoint_has_the_best_numbers(trained: Trained, command: Command) -> None:
    curve = json.loads((trained.folder / "result.json").read_text())["curve"]
    best = max((numbers for _, numbers in curve), key=lambda numbers: numbers["ap"])
    done = command("eval", trained.folder / BEST, "--data", trained.data, "--json")
    assert json.loads(done.out)["numbers"] == best


def test_the_log_has_a_line_an_epoch(trained: Trained) -> None:
    with (trained.folder / "log.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [int(line["epoch"]) for line in lines] == list(range(1, 41))
    assert [line["epoch"] for line in lines if line["ap"]] == ["10", "20", "30", "40"]
    for line in (lines[0], lines[-1]):
        parts = float(line["class_loss"]) + 50 * float(line["box_loss"])
        assert float(line["loss"]) == pytest.approx(parts, rel=1e-4)
    assert float(lines[-1]["loss"]) < float(lines[0]["loss"])


def test_another_size_is_another_input(trained: Trained, command: Command) -> None:
    found = json.loads(command("eval", trained.folder, "--data", trained.data, "--size", "96x128", "--json").out)
    assert found["size"] == [96, 128] and found["spec_id"] != TINY.id


def test_soft_suppression_keeps_what_overlaps_with_less_score(
    trained: Trained, command: Command, tmp_path: Path
) -> None:
    scores: dict[str, list[float]] = {}
    for nms in ("hard", "soft"):
        asked = ("--data", trained.data, "--nms", nms, "-o", tmp_path / f"{nms}.json", "--json")
        done = command("eval", trained.folder, *asked)
        assert done.status == 0 and json.loads(done.out)["nms"] == nms, done.err
        scores[nms] = sorted(found["score"] for found in json.loads((tmp_path / f"{nms}.json").read_text()))
    assert scores["soft"][-1] == scores["hard"][-1]  # the best of an image and class is above all decay
    assert len(set(scores["soft"]) - set(scores["hard"])) > 10
    assert "soft-NMS" in command("eval", trained.folder, "--data", trained.data, "--nms", "soft").out


def test_other_classes_are_refused_by_name(trained: Trained, command: Command, tmp_path: Path) -> None:
    write_coco(tmp_path, "val", count=2, seed=0)
    place = tmp_path / "annotations" / "instances_val.json"
    place.write_text(place.read_text().replace('"red"', '"pink"'))
    done = command("eval", trained.folder, "--data", tmp_path)
    assert done.status == 2
    assert " has 3 'red'; only the data val has 3 'pink'" in done.err


def test_a_file_that_says_nothing_needs_a_design(trained: Trained, command: Command, tmp_path: Path) -> None:
    state = torch.load(trained.folder / LAST, weights_only=True)
    expected = json.loads(command("eval", trained.folder, "--data", trained.data, "--json").out)["numbers"]
    shutil.copy(trained.folder / "result.json", tmp_path)
    torch.save({name: value for name, value in state.items() if name != KEY}, tmp_path / FORMER)
    done = command("eval", tmp_path, "--data", trained.data)
    assert done.status == 2
    assert "checkpoint.pt does not record the detector of its weights: name it with --design (" in done.err
    assert "result.json)" in done.err
    done = command("eval", tmp_path, "--data", trained.data, "--design", tmp_path / "result.json", "--json")
    assert json.loads(done.out)["numbers"] == expected
    refused = command("eval", trained.folder, "--data", trained.data, "--design", "d0")
    assert refused.status == 2 and "records its own detector" in refused.err


def test_weights_that_do_not_say_what_anchors_auto_fitted_are_scored_with_a_warning(
    trained: Trained, command: Command, tmp_path: Path
) -> None:
    auto = tmp_path / "auto.yaml"
    auto.write_text(
        "space: {backbone: efficientnet-w0.25-d0.25, topology: bifpn, width: 8, repeats: 1, head_depth: 1, size: 64,\n"
        "        aspect: 0.75, min_level: 3, max_level: 5}\n"
        "anchors: auto\n"
    )
    torch.save(build(read_design(str(auto), classes=2)).state_dict(), tmp_path / "plain.pth")
    said = (
        f"{auto} has anchors: auto, and {tmp_path / 'plain.pth'} does not say which its training fitted: the published"
    )
    for design, expected in ((auto.read_text(), True), (auto.read_text().replace("auto", "{scale: 3}"), False)):
        auto.write_text(design)
        done = command("eval", tmp_path / "plain.pth", "--design", auto, "--data", trained.data, "--json")
        assert done.status == 0, done.err
        assert (said in done.err) is expected


def test_detections_have_the_ids_of_the_file_also_where_these_are_text(
    trained: Trained, command: Command, tmp_path: Path
) -> None:
    shutil.copytree(trained.data, tmp_path / "coco")
    file = tmp_path / "coco" / "annotations" / "instances_val.json"
    document = json.loads(file.read_text())
    for item in document["images"]:
        item["id"] = f"image-{item['id']}"
    for item in document["annotations"]:
        item |= {"image_id": f"image-{item['image_id']}", "category_id": str(item["category_id"])}
    for item in document["categories"]:
        item["id"] = str(item["id"])
    file.write_text(json.dumps(document))
    found = {}
    for data in (trained.data, tmp_path / "coco"):
        out = tmp_path / f"{data.parent.name}.json"
        assert command("eval", trained.folder, "--data", data, "-o", out).status == 0
        found[data] = json.loads(out.read_text())
    own = [
        {**one, "image_id": f"image-{one['image_id']}", "category_id": str(one["category_id"])}
        for one in found[trained.data]
    ]
    assert own and found[tmp_path / "coco"] == own


def test_an_interrupted_checkpoint_says_that_its_norms_were_not_evaluated(
    trained: Trained, command: Command, tmp_path: Path
) -> None:
    state = torch.load(trained.folder / LAST, weights_only=True)
    state.pop("evaluated")
    torch.save(state, tmp_path / LAST)
    done = command("eval", tmp_path, "--data", trained.data, "--json")
    assert done.status == 0 and "written between two evaluations" in done.err
    description = read_description(tmp_path / LAST)
    assert description is not None and not description.evaluated and description.classes == ((3, "red"), (7, "blue"))


@pytest.mark.parametrize(
    ("weights", "data", "message"),
    [
        ("none.pt", "coco", "none.pt: no such file of weights"),
        (".", "coco", "a training's folder must have a last.pt, but this one has none"),
        ("design.json", "coco", "is damaged or no checkpoint of torch"),
        ("run/log.csv", "coco", "not a checkpoint of torch, or a damaged one"),
        ("run", "nowhere", "the data folder must exist, but"),
    ],
)
def test_bad_input_is_one_line(trained: Trained, command: Command, weights: str, data: str, message: str) -> None:
    home = trained.data.parent
    done = command("eval", home / weights, "--data", home / data)
    assert done.status == 2 and message in done.err and done.err.count("\n") == 1


def test_splits_have_any_names(trained: Trained, command: Command, tmp_path: Path) -> None:
    shutil.copytree(trained.data, tmp_path / "coco")
    for split in ("train", "val"):
        (tmp_path / "coco" / split).rename(tmp_path / "coco" / f"{split}2017")
        file = tmp_path / "coco" / "annotations" / f"instances_{split}.json"
        file.rename(file.with_stem(f"{file.stem}2017"))
    words = ["train", trained.design, "--data", tmp_path / "coco", "--set", "epochs=1", "--set", "batch=50"]
    refused = command(*words, "--splits", "train2017")
    assert refused.status == 2 and "two names separated by a comma, as train2017,val2017" in refused.err
    done = command(*words, "--splits", "train2017,val2017", "--out", tmp_path / "run")
    assert done.status == 0 and "on val2017 after 1 epochs" in done.out
    assert "a batch is all 20 images there are, not the recipe's 50" in done.out


def test_a_split_that_is_not_there(trained: Trained, command: Command) -> None:
    done = command("eval", trained.folder, "--data", trained.data, "--split", "test")
    assert done.status == 2 and "(splits found: train, val)" in done.err


def test_a_timm_backbone_is_measured_again(trained: Trained, command: Command, tmp_path: Path) -> None:
    """Its file does not record the measured sizes, and another size needs another measurement."""
    design = tmp_path / "timm.yaml"
    design.write_text(
        "space: {backbone: test_byobnet, topology: fpn, size: 64, aspect: 0.75, width: 8, repeats: 1, head_depth: 1, "
        "min_level: 3, max_level: 5}"
    )
    run = tmp_path / "run"
    done = command("train", design, "--data", trained.data, "--set", "epochs=1", "--set", "batch=4", "--out", run)
    assert done.status == 0, done.err
    numbers = json.loads((run / "result.json").read_text())["curve"][-1][1]
    found = json.loads(command("eval", run, "--data", trained.data, "--json").out)
    assert found["numbers"] == numbers
    larger = command("eval", run, "--data", trained.data, "--json", "--size", "96x128")
    assert json.loads(larger.out)["size"] == [96, 128]


def test_weights_of_effdet_are_evaluated_on_data_of_as_many_classes(
    trained: Trained, command: Command, tmp_path: Path
) -> None:
    """Without names, labels are the data's categories in order, or ids from 1 on; else it is an error."""
    effdet = pytest.importorskip("effdet", reason="effdet is not installed")
    design = tmp_path / "lite.yaml"
    design.write_text("space: {backbone: efficientnet_b0, size: 64, width: 64, repeats: 3, head_depth: 3}\n")
    for classes, status in ((2, 0), (7, 0), (4, 2)):
        config = effdet.get_efficientdet_config("tf_efficientdet_d0")
        config.num_classes, config.image_size = classes, (64, 64)
        file = tmp_path / f"effdet-{classes}.pth"
        torch.save(effdet.EfficientDet(config, pretrained_backbone=False).state_dict(), file)
        done = command("eval", file, "--design", design, "--data", trained.data, "--json")
        assert done.status == status, done.err
    assert "effdet-4.pth has 4 without names and val has 2 with ids up to 7" in done.err
