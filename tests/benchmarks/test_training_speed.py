"""Kendall's tau of scores at a rung with the AP at the end, on rows whose orders are known."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.scripts import script
from tests.records.conftest import row


def test_tau_is_that_of_scipy_and_of_groups_takes_their_pairs() -> None:
    from scipy.stats import kendalltau

    speed = script("training_speed")
    rng = np.random.default_rng(0)
    found, final = rng.random(12), rng.random(12)
    assert speed.tau(found, final) == pytest.approx(kendalltau(found, final).statistic)
    assert speed.tau(np.array([1, 2, 4, 3]), np.array([1, 2, 3, 4]), np.array([0, 0, 1, 1])) == 0
    assert speed.tau(np.array([1, 2, 1, 2]), np.array([1, 2, 3, 4]), np.array([0, 0, 1, 1])) == 1


def test_each_score_has_its_tau(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of five candidates the losses fall as the final AP rises, and the AP after one epoch falls too."""
    (tmp_path / "rows").mkdir()
    for i in range(5):
        made = row(
            ordinal=i,
            losses=((1, 3 - 0.1 * i**2, 1, 0.02), (2, 1 - 0.1 * i, 0.5, 0.01)),
            curve=((1, {"ap": 0.2 - 0.01 * i}), (2, {"ap": 0.2 + 0.03 * i})),
            final={"ap": 0.2 + 0.03 * i},
            epochs_done=2,
            epochs_planned=2,
        )
        (tmp_path / "rows" / made.file_name).write_text(made.to_json())
    monkeypatch.setattr(sys, "argv", ["training_speed.py", str(tmp_path), "--out", str(tmp_path / "out.txt")])
    script("training_speed").main()
    first, _, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("5 candidates of 2 epochs; final AP 0.200 .. 0.320") and "10 of 10 pairs" in first
    taus = {line.split()[2]: float(line.split()[3]) for line in lines}
    assert taus == {"ap": -1, "sum": 1, "last": 1, "both": -0.2}
    assert (tmp_path / "out.txt").read_text().splitlines()[2:] == lines
