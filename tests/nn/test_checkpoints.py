"""Weights from files: every shape that a checkpoint comes in, what does not fit, and what is refused unread."""

from __future__ import annotations

import dataclasses
import os
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from scalesearch.arch.backbone import EfficientNet
from scalesearch.arch.scaling import named
from scalesearch.arch.spec import Anchors, DetectorSpec
from scalesearch.io.hashes import file_hash
from scalesearch.nn.checkpoints import load_weights, read_weights
from scalesearch.nn.detector import Detector, build

SPEC = dataclasses.replace(
    named("d0", classes=4, size=(64, 64)), repeats=1, width=16, head_width=16, backbone=EfficientNet(width=0.25)
)


def _built(spec: DetectorSpec = SPEC, seed: int = 0) -> Detector:
    torch.manual_seed(seed)
    return build(spec)


def _same(one: Detector, other: Detector, but: str = "none") -> bool:
    theirs = other.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items() if but not in name)


def _other(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.zeros_like(value) for name, value in weights.items()}


def _prefixed(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{name}": value for name, value in weights.items()}


FORMS: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "plain": lambda w: w,
    "ours: averaged before trained": lambda w: {"model": _other(w), "average": w, "epoch": 3, "told": "{}"},
    "timm's: EMA before plain": lambda w: {
        "epoch": 7,
        "arch": "efficientdet_d0",
        "args": Namespace(lr=0.1, aa=None),
        "state_dict": _other(w),
        "state_dict_ema": _prefixed(w, "module."),
    },
    "timm's without EMA": lambda w: {"state_dict": _prefixed(w, "module."), "optimizer": {"state": {}}},
    "of a bench": lambda w: {"state_dict": {**_prefixed(w, "module.model."), "model.anchors.boxes": torch.ones(9, 4)}},
    "effdet's script: a score of NumPy": lambda w: {"state_dict": w, "metric": np.float64(0.34), "epoch": np.int64(7)},
    "without an average yet": lambda w: {"state_dict": w, "state_dict_ema": None, "ema": {}},
    "an average with its decay": lambda w: {"model": _other(w), "ema": {"module": w, "decay": 0.999}},
    "an average by another name": lambda w: {"model_state_dict": _other(w), "ema_state_dict": w},
    "torch's AveragedModel": lambda w: {**_prefixed(w, "module."), "n_averaged": torch.tensor(7)},
    "compiled": lambda w: _prefixed(w, "_orig_mod."),
    "no counters": lambda w: {name: value for name, value in w.items() if "num_batches" not in name},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_checkpoint_is_read(form: str, tmp_path: Path) -> None:
    source, target = _built(), _built(seed=1)
    torch.save(FORMS[form](source.state_dict()), tmp_path / "weights.pth")
    assert not _same(source, target)
    assert not load_weights(target, tmp_path / "weights.pth")
    assert _same(source, target)


def test_safetensors_and_files_of_before_2020_are_read(tmp_path: Path) -> None:
    source = _built()
    weights = {name: value.clone() for name, value in source.state_dict().items()}
    save_file(weights, tmp_path / "a.safetensors")
    torch.save(weights, tmp_path / "b.pth", _use_new_zipfile_serialization=False)
    for file in ("a.safetensors", "b.pth"):
        target = _built(seed=1)
        load_weights(target, tmp_path / file)
        assert _same(source, target)


def test_another_number_of_classes_leaves_the_prediction_alone_and_says_so(tmp_path: Path) -> None:
    source, target = _built(), _built(dataclasses.replace(SPEC, classes=7), seed=1)
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    before = target.class_head.predict.last.weight.clone()
    misfit = load_weights(target, tmp_path / "weights.pth")
    assert misfit.lines() == [
        "class_head.predict.conv_pw.weight: [36, 16, 1, 1] in the file, [63, 16, 1, 1] in the detector",
        "class_head.predict.conv_pw.bias: [36] in the file, [63] in the detector",
    ]
    assert torch.equal(target.class_head.predict.last.weight, before)
    assert _same(source, target, but="class_head.predict.conv_pw")


def test_other_anchors_leave_both_predictions_alone(tmp_path: Path) -> None:
    target = _built(dataclasses.replace(SPEC, anchors=Anchors(octaves=2)))
    torch.save(_built().state_dict(), tmp_path / "weights.pth")
    assert len(load_weights(target, tmp_path / "weights.pth").shapes) == 4


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"width": 24}, r"neck\.extra\.conv\.weight: \[16, 80, 1, 1\] in the file, \[24, 80, 1, 1\] in the detector"),
        ({"repeats": 2}, r"neck\.cells\.1\.nodes\.0\.fusion\.edge_weights: not in the file"),
        ({"bias_before_norm": False}, r"neck\.extra\.conv\.bias: not in the detector"),
    ],
)
def test_what_does_not_fit_is_listed_and_changes_nothing(changes: Any, rule: str, tmp_path: Path) -> None:
    target, before = (_built(dataclasses.replace(SPEC, **changes), seed=1) for _ in range(2))
    torch.save(_built().state_dict(), tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=rf"weights\.pth: weights must fit .* tensors do, .* is {rule}") as caught:
        load_weights(target, tmp_path / "weights.pth")
    assert len(str(caught.value)) <= 300
    assert _same(target, before)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda x: x.to(torch.complex64), "of torch.complex64"),
        (lambda x: x.to_sparse(), "sparse, quantized or without values"),
        (lambda x: x.to("meta"), "sparse, quantized or without values"),
        (lambda x: x > 0, "of torch.bool"),
    ],
)
def test_what_is_no_number_is_no_weight(spoil: Any, said: str, tmp_path: Path) -> None:
    detector = _built()
    name = "neck.extra.conv.weight"
    torch.save({**detector.state_dict(), name: spoil(detector.state_dict()[name])}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=rf"weights are dense tensors of numbers, but {name} is {said}"):
        load_weights(detector, tmp_path / "weights.pth")


class _Runs:
    """A pickle that would make a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def test_no_code_of_a_file_is_run(tmp_path: Path) -> None:
    torch.save({**_built().state_dict(), "x": _Runs(str(tmp_path / "made"))}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"tensors and plain data only, .* asks for \S*mkdir; nothing of it was run"):
        read_weights(tmp_path / "weights.pth")
    assert not (tmp_path / "made").exists()


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    torch.save(_built().state_dict(), tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    files = {
        "cut.pth": whole[: len(whole) // 2],
        "empty.pth": b"",
        "text.pt": b"weights",
        "zeros.pt": bytes(999),
        "log.csv": b"epoch,step,loss",
        "start.pth": whole[:2000],
        "cut.safetensors": b"\x08",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name) as caught:
            read_weights(tmp_path / name)
        assert "Re-running" not in str(caught.value)  # torch advises to run what is in the file
    for content in ({"a": 1, "b": "c"}, [torch.zeros(1)], torch.zeros(1)):
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(
            ValueError, match="a checkpoint must be a state dict, or hold one under evaluated, average, "
        ):
            read_weights(tmp_path / "other.pth")
    with pytest.raises(FileNotFoundError, match="nowhere.pth: no such file of weights"):
        read_weights(tmp_path / "nowhere.pth")


def test_a_file_is_named_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_hash(tmp_path / "a") == "ba7816bf8f01"  # SHA-256's own example
