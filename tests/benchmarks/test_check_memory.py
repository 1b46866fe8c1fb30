"""Small samples of benchmarks/check_memory.py and check_grid.py; whole runs are committed in results/checks/."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scalesearch.cost.memory import TrainingSettings
from scalesearch.profile.resolve import resolve_spec
from tests.benchmarks.scripts import script


@pytest.mark.parametrize(
    ("name", "half", "again"),
    [
        ("lite0", True, True),
        ("PANet, resnet18, relu", False, True),
        ("QuFPN, softmax, no head convolutions", True, False),
    ],
)
def test_training_memory_is_that_of_a_step(name: str, half: bool, again: bool, tmp_path: Path) -> None:
    checks = script("check_memory")
    spec = resolve_spec(checks.detectors(64)[name], tmp_path)
    plain = TrainingSettings(batch=2, optimizer="sgd")
    for setting in (plain, replace(plain, half=half, checkpointing=again)):
        line = checks.check(spec, setting)
        assert line.estimate == pytest.approx(line.measured, rel=0.01)
        assert line.peak == pytest.approx(line.recorded, rel=0.01)


def test_grids_equal_their_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = script("check_grid")
    monkeypatch.setattr(checks, "SIDES", (64, 100, 160))
    for spec, dimensions in checks.structures(1500, 250, tmp_path):
        assert checks.different(spec, dimensions) == []
