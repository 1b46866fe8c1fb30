"""Three kills of benchmarks/check_kills.py, whose whole run is committed in results/checks/kills.txt."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.scripts import script


def test_a_study_killed_at_random_moments_ends_with_the_same_rows(tmp_path: Path) -> None:
    assert script("check_kills").check(tmp_path, "tpe", kills=3, seed=1).startswith("tpe: killed 3 times")
