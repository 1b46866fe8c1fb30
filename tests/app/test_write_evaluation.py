"""What `eval` writes: detections that pycocotools scores alike, and pictures."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from pathlib import Path

import PIL.Image
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.app.conftest import Command, Trained


def official(truth: Path, detections: Path) -> float:
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO(str(truth))
        evaluator = COCOeval(known, known.loadRes(str(detections)), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return float(evaluator.stats[0])


def test_detections_and_pictures(trained: Trained, command: Command, tmp_path: Path) -> None:
    """Also where the data's own file gives its classes other ids than the model."""
    data = tmp_path / "data"
    shutil.copytree(trained.data, data)
    truth = data / "annotations" / "instances_val.json"
    document = json.loads(truth.read_text())
    ids = {3: 7, 7: 30}
    for item in document["annotations"]:
        item |= {"category_id": ids[item["category_id"]], "id": item["id"] + 1}
    for category in document["categories"]:
        category["id"] = ids[category["id"]]
    document["annotations"] = [item for item in document["annotations"] if not item["iscrowd"]]
    truth.write_text(json.dumps(document))
    file, plots = tmp_path / "out" / "detections.json", tmp_path / "plots"
    done = command("eval", trained.folder, "--data", data, "-o", file, "--plots", plots, "--json")
    assert done.status == 0, done.err
    found = json.loads(done.out)["numbers"]["ap"]
    assert found > 0 and official(truth, file) == pytest.approx(found, abs=1e-6)
    assert {row["category_id"] for row in json.loads(file.read_text())} <= {7, 30}
    assert sorted(p.name for p in plots.iterdir()) == ["confusion_matrix.png", "precision_recall.png"]
    for picture in plots.iterdir():
        with PIL.Image.open(picture) as opened:
            assert min(opened.size) > 300


def test_a_file_of_others_is_refused(trained: Trained, command: Command, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"no ONNX")
    done = command("eval", file, "--data", trained.data)
    assert done.status == 2 and "must be a whole ONNX file" in done.err and done.err.count("\n") == 1
    done = command("eval", tmp_path / "none.onnx", "--data", trained.data)
    assert done.status == 2 and "no such file" in done.err
