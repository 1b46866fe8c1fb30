"""A detector's own normalisation of images is used in training, evaluation, prediction and export."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from scalesearch.app.export import export_onnx
from scalesearch.app.trained_model import open_model
from scalesearch.arch.backbone import EfficientNet, TimmBackbone
from scalesearch.arch.networks import bifpn
from scalesearch.arch.normalisation import NORMALISATIONS
from scalesearch.arch.scaling import PUBLISHED, named
from scalesearch.arch.spec import DetectorSpec, to_dict
from scalesearch.data.augment import normalise
from scalesearch.data.pixels import open_pixels
from scalesearch.data.sets import open_split
from scalesearch.nn.anchors import anchor_boxes
from scalesearch.nn.backbone import weights_normalisation
from scalesearch.plan.recipe import Recipe
from scalesearch.training.evaluation import predict
from scalesearch.training.loader import prepared
from tests.app.conftest import Command, Trained
from tests.detectors import TINY

HALF = dataclasses.replace(TINY, normalisation="half")


def test_it_is_of_the_detector() -> None:
    assert HALF.id != TINY.id
    assert {name for name in PUBLISHED if named(name).normalisation == "half"} == {
        name for name in PUBLISHED if name.startswith("lite")
    }
    with pytest.raises(ValueError, match="normalisation must be one of imagenet, half, inception, .*, but got 'tanh'"):
        dataclasses.replace(TINY, normalisation="tanh")


def test_what_every_pretrained_tag_of_timm_wants_has_a_name() -> None:
    """Else weights would silently be given images that they were not trained with."""
    names = {weights_normalisation(TimmBackbone(name=name)) for name in timm.list_pretrained()}
    assert names == {"imagenet", "inception", "clip", "unit", "dpn", "satellite"}


def test_weights_that_want_what_has_no_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = dataclasses.replace(timm.get_pretrained_cfg("resnet18"), mean=(0.1, 0.2, 0.3))
    monkeypatch.setattr("scalesearch.nn.pretrained.get_pretrained_cfg", lambda name: odd)
    with pytest.raises(ValueError, match=r"normalised by mean \[0.1, 0.2, 0.3\] .*: take other weights"):
        weights_normalisation(TimmBackbone(name="resnet18"))


def as_fetched(home: Path, name: str, tag: str) -> None:
    """Random weights where the hub's cache would have timm's."""
    place = home / "hub" / f"models--timm--{name}.{tag}"
    for folder in ("refs", f"snapshots/{'a' * 40}"):
        (place / folder).mkdir(parents=True)
    (place / "refs" / "main").write_text("a" * 40)
    save_file(timm.create_model(name).state_dict(), place / "snapshots" / ("a" * 40) / "model.safetensors")


def test_pretrained_weights_decide(
    trained: Trained, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said, stands in the design, the ONNX file, and what is fed; without pretrained weights it is the design's."""
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    as_fetched(tmp_path, "test_resnet", "r160_in1k")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    spec = dataclasses.replace(TINY, backbone=TimmBackbone(name="test_resnet"))
    (design := tmp_path / "design.json").write_text(json.dumps(to_dict(spec)))
    for pretrained, expected in ((True, "inception"), (False, "imagenet")):
        run = tmp_path / expected
        options = ("--set", "epochs=1", "--set", "norm_batches=1", "--set", f"pretrained={str(pretrained).lower()}")
        done = command("train", design, "--data", trained.data, "--out", run, *options)
        assert done.status == 0, done.err
        said = " ".join((done.out + done.err).split())
        assert ("images are normalised by inception, which the pretrained weights were" in said) is pretrained
        model = open_model(run)
        assert model.spec.normalisation == expected
        assert json.loads((run / "result.json").read_text())["spec"].get("normalisation", "imagenet") == expected
    # The file of a detector that is normalised by imagenet is in test_export.py.
    done = command("export", tmp_path / "inception", "-o", tmp_path / "model.onnx")
    assert done.status == 0, done.err
    properties = {one.key: one.value for one in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert json.loads(properties["normalisation"])["mean"] == list(NORMALISATIONS["inception"][0])
    from_run = ("--weights", tmp_path / "inception" / "last.pt", "--set", "epochs=1")
    done = command("train", design, "--data", trained.data, "--out", tmp_path / "again", *from_run)
    assert "images are normalised by inception, which the pretrained weights were" in " ".join(
        (done.out + done.err).split()
    )
    assert open_model(tmp_path / "again").spec.normalisation == "inception"


def test_a_training_is_fed_so(trained: Trained) -> None:
    pixels = open_pixels(open_split(str(trained.data), "val"), TINY.size)
    pixels = dataclasses.replace(pixels, normalisation="half")
    recipe = Recipe(batch=len(pixels), flip=False, jitter=(1.0, 1.0))
    (batch,) = prepared(pixels, recipe, seed=0, epoch=0, device=torch.device("cpu"))
    raw = torch.from_numpy(np.ascontiguousarray(pixels.array[batch.places.numpy()]))
    assert torch.equal(batch.images, normalise(raw, "half"))
    assert not torch.equal(batch.images, normalise(raw))


def test_training_and_eval_tell_the_same_and_an_export_finds_what_predict_does(
    trained: Trained, command: Command, tmp_path: Path
) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    few = dataclasses.replace(TINY, backbone=EfficientNet(width=0.25, depth=0.25, lite=True), topology=bifpn(3, 4))
    half = dataclasses.replace(few, normalisation="half")
    aps: dict[DetectorSpec, float] = {}
    for spec in (half, few):
        design, run = tmp_path / f"{spec.normalisation}.json", tmp_path / spec.normalisation
        design.write_text(json.dumps(to_dict(spec)))
        options = ("--set", "epochs=6", "--set", "batch=4", "--set", "norm_batches=2", "--set", "learning_rate=0.005")
        done = command("train", design, "--data", trained.data, "--out", run, *options)
        assert done.status == 0, done.err
        found = command("eval", run, "--data", trained.data, "--json")
        result = json.loads((run / "result.json").read_text())
        aps[spec] = json.loads(found.out)["numbers"]["ap"]
        assert aps[spec] == pytest.approx(result["curve"][-1][1]["ap"], abs=1e-9)
    assert aps[half] != aps[few]

    model = open_model(tmp_path / "half", design=None, size=None)
    assert model.spec == half
    export_onnx(model, tmp_path / "half.onnx")
    session = runtime.InferenceSession(tmp_path / "half.onnx", providers=["CPUExecutionProvider"])
    pixels = open_pixels(open_split(str(trained.data), "val"), TINY.size)
    raw = np.ascontiguousarray(pixels.array)
    scores, _ = session.run(None, {"images": raw.transpose(0, 3, 1, 2).astype(np.float32)})[:2]
    with torch.no_grad():
        wanted = model.detector(normalise(torch.from_numpy(raw), "half")).class_logits
    np.testing.assert_allclose(scores, wanted.numpy(), atol=1e-3)

    anchors = anchor_boxes(half, torch.device("cpu"))
    rows = predict(model.detector, anchors, dataclasses.replace(pixels, normalisation="half"))
    found = sorted((row["score"] for row in rows), reverse=True)
    # Cut where two scores lie far apart: they differ in their last bits with the batch.
    kept = max(range(20, 100), key=lambda i: found[i - 1] - found[i])
    least = (found[kept - 1] + found[kept]) / 2
    command("predict", tmp_path / "half", trained.data / "val", "-o", tmp_path / "drawn", "--score", str(least))
    drawn = [row["score"] for row in json.loads((tmp_path / "drawn" / "detections.json").read_text())]
    assert sorted(drawn, reverse=True) == pytest.approx(found[:kept], abs=1e-5)
