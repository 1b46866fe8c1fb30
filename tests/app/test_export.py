"""`scalesearch export`: ONNX Runtime gives torch's outputs; what is refused leaves no file."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from scalesearch.app.export import export_onnx, export_weights
from scalesearch.app.trained_model import open_model
from scalesearch.arch.backbone import EfficientNet
from scalesearch.arch.normalisation import NORMALISATIONS
from scalesearch.data.pixels import open_pixels
from scalesearch.data.sets import open_split
from scalesearch.nn.agreement import Agreement
from scalesearch.nn.detector import build
from scalesearch.nn.model_file import read_description
from scalesearch.nn.onnx_file import MOST
from tests.app.conftest import Command, Trained
from tests.detectors import TINY

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of onnx_ir and onnxscript


def test_detections_of_pictures_are_those_of_predict(trained: Trained, command: Command, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    done = command("export", trained.folder, "-o", tmp_path / "model.onnx", "--nms")
    assert done.status == 0, done.err
    assert "4 images under ONNX Runtime: largest relative difference " in done.out
    assert done.out.endswith("100.00% of the detections the same\n")
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    soft = command("eval", tmp_path / "model.onnx", "--data", trained.data, "--nms", "soft")
    assert soft.status == 2 and "export it without --nms" in soft.err

    session = runtime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["boxes", "scores", "labels", "count"]
    properties = session.get_modelmeta().custom_metadata_map
    assert json.loads(properties["classes"]) == ["red", "blue"] and json.loads(properties["category_ids"]) == [3, 7]
    assert (properties["spec_id"], json.loads(properties["input_size"])) == (TINY.id, [48, 64])
    assert json.loads(properties["normalisation"])["mean"] == list(NORMALISATIONS["imagenet"][0])
    assert "normalisation is in the graph" in properties["input"] and "[124, 116, 104]" in properties["letterbox"]

    command("predict", trained.folder, trained.data / "val", "-o", tmp_path / "drawn", "--score", "0.05")
    expected = json.loads((tmp_path / "drawn" / "detections.json").read_text())
    pixels = open_pixels(open_split(str(trained.data), "val"), TINY.size)
    images = np.ascontiguousarray(pixels.array.transpose(0, 3, 1, 2), dtype=np.float32)
    boxes, scores, labels, counts = session.run(None, {"images": images})
    assert boxes.shape == (6, MOST, 4) and labels.dtype == np.int64 and counts.shape == (6,)
    for image in range(6):
        rows = [row for row in expected if row["image_id"] == image]
        kept = int((scores[image] >= 0.05).sum())
        assert kept == len(rows)
        assert [(3, 7)[label] for label in labels[image, :kept]] == [row["category_id"] for row in rows]
        corners = [[x, y, x + w, y + h] for x, y, w, h in (row["bbox"] for row in rows)]
        np.testing.assert_allclose(boxes[image, :kept].reshape(-1, 4), np.reshape(corners, (-1, 4)), atol=1e-2)


def test_what_is_past_the_count_is_padding_and_a_fixed_batch_is_filled(
    trained: Trained, command: Command, tmp_path: Path
) -> None:
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    model, file, weights = open_model(trained.folder), tmp_path / "four.onnx", tmp_path / "model.safetensors"
    with torch.no_grad():
        for name, value in model.detector.named_parameters():
            if name.startswith("class_head.predict") and name.endswith("bias"):
                value -= 4.0  # few scores are left above the least
    assert export_onnx(model, file, nms=True, batch=4, opset=18).same == 1.0
    session = runtime.InferenceSession(file, providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == [4, 3, 48, 64]
    pixels = open_pixels(open_split(str(trained.data), "val"), TINY.size)
    images = np.ascontiguousarray(pixels.array.transpose(0, 3, 1, 2)[2:6], dtype=np.float32)
    boxes, scores, labels, count = (value[3] for value in session.run(None, {"images": images}))
    assert 0 < count < MOST
    assert (scores[:count] > 0.001).all() and (labels[:count] >= 0).all() and (np.diff(scores) <= 0).all()
    assert not scores[count:].any() and not boxes[count:].any() and (labels[count:] == -1).all()
    with pytest.raises(Exception, match="(?i)dimension|shape"):
        session.run(None, {"images": images[:2]})
    # Six images are a batch of four and one that is not full.
    export_weights(model, weights)
    assert_scored_alike(command, trained, file, weights)


def test_a_file_of_raw_outputs_is_scored_like_its_weights(trained: Trained, command: Command, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    assert command("export", trained.folder, "-o", tmp_path / "model.onnx").status == 0
    assert_scored_alike(command, trained, tmp_path / "model.onnx", trained.folder)


def assert_scored_alike(command: Command, trained: Trained, file: Path, weights: Path) -> None:
    done = command("eval", file, "--data", trained.data, "--json")
    assert done.status == 0, done.err
    theirs = json.loads(done.out)
    ours = json.loads(command("eval", weights, "--data", trained.data, "--json").out)
    assert ours["numbers"]["ap"] > 0
    assert theirs["numbers"]["ap"] == pytest.approx(ours["numbers"]["ap"], abs=0.02)
    assert theirs["spec_id"] == ours["spec_id"] and theirs["boxes"] == ours["boxes"]


def test_weights_alone_say_what_they_are(trained: Trained, command: Command, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    assert command("export", trained.folder, "-o", file).status == 0
    description = read_description(file)
    assert (
        description is not None and description.spec.id == TINY.id and description.classes == ((3, "red"), (7, "blue"))
    )
    numbers = [
        json.loads(command("eval", at, "--data", trained.data, "--json").out)["numbers"]
        for at in (file, trained.folder)
    ]
    assert numbers[0] == numbers[1]


def test_a_disagreement_is_an_error() -> None:
    Agreement(difference=1e-4, same=None, images=1).check()
    Agreement(difference=1e-4, same=0.995, images=1).check()
    for difference in (2e-3, float("nan")):
        with pytest.raises(ValueError, match="nothing was written; try another --opset"):
            Agreement(difference=difference, same=None, images=1).check()
    with pytest.raises(ValueError, match="2.0% of them differ"):
        Agreement(difference=0.0, same=0.98, images=1).check()


def test_a_file_that_disagrees_is_not_written(trained: Trained, tmp_path: Path) -> None:
    """Weights that are not numbers must not pass, whatever the comparison is."""
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    few = dataclasses.replace(TINY, backbone=EfficientNet(width=0.25, depth=0.25, lite=True), head_depth=0)
    model = dataclasses.replace(open_model(trained.folder), detector=build(few).eval())
    with torch.no_grad():
        next(model.detector.box_head.parameters()).fill_(float("nan"))
    with pytest.raises(ValueError, match="differ by nan: nothing was written"):
        export_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_without_the_extra_it_says_what_to_install(
    trained: Trained, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    done = command("export", trained.folder, "-o", tmp_path / "model.onnx")
    assert done.status == 2
    assert "onnxscript is not installed: pip install 'scalesearch[onnx]'" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "model.pb"], "an export is an .onnx or a .safetensors file, but got 'model.pb'"),
        (["-o", "model.onnx", "--batch", "0"], "must be a number from 1 to 65536, or dynamic, but got '0'"),
        (["-o", "model.onnx", "--opset", "9"], "9 is not in the range 18<=x<=23"),
        (["-o", "model.safetensors", "--nms"], "--nms, --batch and --opset are for an .onnx file"),
        (["-o", "model.onnx", "--size", "64"], "a size is HEIGHTxWIDTH in pixels"),
        ([], "Missing option '--out' / '-o'"),
    ],
)
def test_bad_input_is_one_line(trained: Trained, command: Command, arguments: list[str], message: str) -> None:
    done = command("export", trained.folder, *arguments)
    assert done.status == 2 and message in done.err and done.err.count("\n") == 1
