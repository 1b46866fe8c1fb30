"""A short run of benchmarks/ladder_ranks.py: a line for each sampler, with a tau for each rung."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from tests.benchmarks.scripts import script


def test_each_sampler_has_its_taus(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    ranks = script("ladder_ranks")
    arguments = ["--samplers", "random,evolution", "--seeds", "0:2", "--trials", "12"]
    monkeypatch.setattr(sys, "argv", ["ladder_ranks.py", *arguments])
    ranks.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["random", "evolution"]
    assert all(line.partition(" | ")[2].count("±") == 3 for line in lines)


def test_a_line_over_the_cost_is_taken_away() -> None:
    size = np.array([1.0, 2.0, 4.0])
    assert script("ladder_ranks").beyond(2 * size + 1, size) == pytest.approx(np.zeros(3), abs=1e-12)
