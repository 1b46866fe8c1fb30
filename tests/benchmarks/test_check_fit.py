"""A part of benchmarks/check_fit.py, whose whole output is committed in results/checks/fit.txt."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.scripts import script

COMMITTED = Path(__file__).parents[2] / "results" / "checks" / "fit.txt"


def test_one_family_is_judged_as_committed() -> None:
    """Its group is left out of the prior; medians are compared within 0.2 AP, since NumPy's draws may change."""
    check = script("check_fit")
    family = next(one for one in check.families(check.COLUMNS[0]) if one.name == "EfficientDet")
    judged = check.judge(family, 4)
    line = COMMITTED.read_text().split("from the cheapest 4")[1].split("  EfficientDet   ")[1].splitlines()[0]
    errors = [float(word) for word in line.replace("!", " ").split() if not word.startswith("±")]
    assert [one.error for one in judged] == pytest.approx(errors, abs=0.2)
    assert sum(one.inside(80) for one in judged) >= 4
