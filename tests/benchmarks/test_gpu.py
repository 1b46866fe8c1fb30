"""A sample of benchmarks/gpu.py on a CPU: its parts run, and what fails is in the table."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import torch

from tests.benchmarks.scripts import script


def test_a_part_is_written_as_it_goes_and_one_that_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = script("gpu")
    (tmp_path / "parts.py").write_text(
        "import os, time\n"
        "def slow(device):\n    yield f'| on | {device} |'\n    time.sleep(600)\n"
        "def broken(device):\n    yield '| first | line |'\n    raise RuntimeError('no such kernel')\n"
        "def sound(device):\n    yield '| all | well |'\n"
    )
    monkeypatch.setattr(gpu, "PARTS", dict.fromkeys(("slow", "broken", "sound"), "parts"))
    monkeypatch.setattr(gpu, "LONGEST", 8.0)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    out = tmp_path / "gpu.md"
    with pytest.raises(SystemExit, match="^failed: slow, broken$"):
        gpu.main(["--device", "cpu", "--only", "slow", "broken", "sound", "--out", str(out)])
    text = out.read_text()
    assert "## slow\n\n| on | cpu |\n\nslow FAILED: it was ended after 8 s\n" in text
    assert "## broken\n\n| first | line |\n\nbroken FAILED: RuntimeError: no such kernel\n" in text
    assert "## sound\n\n| all | well |\n\n" in text
    monkeypatch.setattr(gpu, "TOGETHER", 0.0)
    with pytest.raises(SystemExit, match="^failed: sound$"):
        gpu.main(["--device", "cpu", "--only", "sound", "--out", str(out)])
    assert "sound FAILED: not run: the twelve minutes are over" in out.read_text()


@pytest.fixture
def checks(coco: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The checks on ten images: to draw the 1,450 of digits takes longer than to check."""
    checks = script("gpu_checks")
    monkeypatch.setattr(checks, "DATA", str(coco))
    return checks


def test_a_cpu_equals_itself_and_another_result_is_refuted(checks: ModuleType) -> None:
    rows = list(checks.equality("cpu"))[2:]
    assert len(rows) == 7 and all(row.split("|")[2].strip() == "0" for row in rows)
    one = torch.zeros(2)
    with pytest.raises(checks.Refuted, match="^loss: they differ by 1, and 0.5 is allowed$"):
        checks._compare("loss", one, one + 1, 0.5)
    with pytest.raises(checks.Refuted, match="they differ by nan"):
        checks._compare("loss", one, one * float("nan"), 0.5)


def test_a_training_after_one_that_does_not_fit(checks: ModuleType) -> None:
    lines = list(checks.memory("cpu"))
    assert len(lines) == 2 and "The small one after it: complete" in lines[1]


def test_a_machine_without_a_gpu_is_told_so(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(SystemExit, match="these checks need a CUDA device, and torch finds none here"):
        script("gpu").main(["--out", str(tmp_path / "gpu.md")])
