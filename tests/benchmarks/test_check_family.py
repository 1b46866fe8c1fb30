"""A part of benchmarks/check_family.py, whose whole output is committed in results/checks/family.txt."""

from __future__ import annotations

import re
from pathlib import Path

from tests.benchmarks.scripts import script

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "results" / "checks" / "family.txt"


def test_the_page_has_the_committed_figures() -> None:
    pattern = r"^(\w+) +([\d.]+) x: inside 80 % (\d+)%, mean error ([+-][\d.]+) AP, mean absolute error ([\d.]+) AP; .*: ([\d.]+)%$"
    found = re.findall(pattern, COMMITTED.read_text(), re.MULTILINE)
    assert len(found) == 8
    page = (ROOT / "docs" / "scaling.md").read_text()
    for kind, share, inside, error, absolute, better in found:
        assert f"| `{kind}` | {share} | {inside} % | {error} | {absolute} | {better} % |" in page


def test_one_world_is_judged() -> None:
    check = script("check_family")
    judged = check.judge("lines", 0)
    assert [one.budget for one in judged] == list(check.BUDGETS)
    assert all(abs(one.error) < 3 and one.better < 0.2 for one in judged[:2])
