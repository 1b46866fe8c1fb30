"""A part of benchmarks/check_fit.py, whose whole output is committed in results/checks/fit.txt."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.benchmarks.scripts import script

COMMITTED = Path(__file__).parents[2] / "results" / "checks" / "fit.txt"

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"


def test_the_page_has_the_committed_figures() -> None:
    text = COMMITTED.read_text()
    found = re.findall(
        r"(\d+) later members of (\d+) families: inside 80 % ([\d.]+)%, inside 95 % ([\d.]+)%, mean absolute error ([\d.]+)",
        text,
    )
    assert len(found) == 4
    page = PAGE.read_text()
    for members, families, inner, outer, error in found:
        cells = f"| {members}, {families} | {inner} % | {outer} % | {error} AP |"
        assert cells in page


def test_one_family_is_judged_as_committed() -> None:
    """Its group is left out of the prior; medians are compared within 0.2 AP, since NumPy's draws may change."""
    check = script("check_fit")
    family = next(one for one in check.families(check.COLUMNS[0]) if one.name == "EfficientDet")
    judged = check.judge(family, 4)
    line = COMMITTED.read_text().split("from the cheapest 4")[1].split("  EfficientDet   ")[1].splitlines()[0]
    errors = [float(word) for word in line.replace("!", " ").split() if not word.startswith("±")]
    assert [one.error for one in judged] == pytest.approx(errors, abs=0.2)
    assert sum(one.inside(80) for one in judged) >= 4
