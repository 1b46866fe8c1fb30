"""Three kills of benchmarks/check_kills.py, whose whole run is committed in results/checks/kills.txt."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def test_a_study_killed_at_random_moments_ends_with_the_same_rows(tmp_path: Path) -> None:
    file = Path(__file__).parents[2] / "benchmarks" / "check_kills.py"
    spec = importlib.util.spec_from_file_location("check_kills", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.check(tmp_path, "tpe", kills=3, seed=1).startswith("tpe: killed 3 times")
