"""The habits of `train`: short options, a line an epoch, a run's folder as weights, fitted anchors, what it trains on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from scalesearch.cli.options import _device
from tests.app.conftest import Command, Trained


def test_short_options_lines_and_weights_of_a_folder(
    trained: Trained, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export of one file, from a run's folder, with anchors fitted: the notes say all of it."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # put back at the end: the option sets it
    data = tmp_path / "export"
    (data / "images").mkdir(parents=True)
    document = json.loads((trained.data / "annotations" / "instances_train.json").read_text())
    for entry in document["images"]:
        name = entry["file_name"]
        (data / "images" / name).write_bytes((trained.data / "train" / name).read_bytes())
        entry["file_name"] = f"images\\{name}"
    (data / "result.json").write_text(json.dumps(document))
    words = (
        "--epochs",
        2,
        "--batch",
        4,
        "--lr",
        0.001,
        "--device",
        "cpu",
        "--anchors",
        "auto",
        "--set",
        "norm_batches=1",
    )
    done = command(
        "train", trained.design, "--data", data, "--out", tmp_path / "run", "--weights", trained.folder, *words
    )
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    epochs = [line for line in lines if line.startswith("epoch ")]
    assert len(epochs) == 2 and epochs[1].startswith("epoch 2 of 2: loss ") and ", AP " in epochs[1]
    assert any(line.startswith("anchors fitted to result.json without val: scale ") for line in lines)
    assert (
        f"training on result.json without val of {data}: 2 classes (red, blue); scored on 20 % of result.json"
        in done.out
    )
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["recipe"] == {"epochs": 2, "batch": 4, "learning_rate": 0.001, "norm_batches": 1}
    assert result["weights"]["file"] == "last.pt" and "\r" not in done.out and "\x1b" not in done.out


def test_a_detector_that_has_hardly_learnt_comes_with_how_to_train_longer(
    trained: Trained, command: Command, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    done = command(
        "train", trained.design, "--data", trained.data, "--out", run, "--epochs", 1, "--set", "norm_batches=1"
    )
    assert done.status == 0, done.err
    assert f"to train longer: scalesearch train {run}/result.json --data {trained.data} --epochs 4" in done.out


@pytest.mark.parametrize(
    ("asked", "seen", "left"),
    [("cpu", None, ""), ("cuda:1", None, "1"), ("0", "3,5", "3"), ("cuda:1", "3,5", "5"), ("cuda", "3", "3")],
)
def test_a_device_is_all_that_torch_will_see(
    monkeypatch: pytest.MonkeyPatch, asked: str, seen: str | None, left: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen or "")
    if seen is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert _device(None, None, asked) == asked  # type: ignore[arg-type]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == left
