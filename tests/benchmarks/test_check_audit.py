"""A part of benchmarks/check_audit.py, whose whole output is committed in results/checks/audit.txt."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.scripts import script

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "results" / "checks" / "audit.txt"


def test_the_noise_floor_and_the_flags_are_as_committed() -> None:
    check = script("check_audit")
    tables = check.Tables()
    found = {kind: check.audited(tables, kind, 0) for kind in ("alike", "reversed", "speed")}
    floors = [one.found.comparison.noise.sd / check.TRUE for one in found.values()]
    assert np.mean(floors) == pytest.approx(1.0, abs=0.2)
    assert found["reversed"].said.trust == "untrusted"
    assert found["alike"].said.trust in ("trusted", "open") and not found["alike"].said.measures_speed
    assert found["speed"].said.trust != "trusted" and found["speed"].said.measures_speed
    text = COMMITTED.read_text()
    assert re.search(r"^reversed: untrusted \d+; ", text, re.MULTILINE)


def test_the_page_has_the_committed_figures() -> None:
    text, page = COMMITTED.read_text(), (ROOT / "docs" / "audit.md").read_text()
    pattern = r"within 20 % in ([\d.]+)% of (\d+) tables; its 95 % interval holds the truth in ([\d.]+)%"
    ((within, tables, inside),) = re.findall(pattern, text)
    assert f"within 20 % of the truth in {within} % of {tables} tables" in page and f"holds it in {inside} %" in page
    assert f"within 20 % of the truth in {within} %" in (ROOT / "README.md").read_text()
    kinds = script("check_audit").KINDS
    for kind in kinds:
        ((verdicts, speed),) = re.findall(rf"^{kind}: (.*?);.*speed of learning: (\d+)%$", text, re.MULTILINE)
        counts = {trust: int(count) for trust, count in re.findall(r"(\w+) (\d+)(?:,| \(|$)", verdicts)}
        cells = [counts.get(trust, 0) for trust in ("trusted", "open", "untrusted", "noise")]
        assert f"| {' | '.join(map(str, cells))} | {speed} % |" in page.split(f"| `{kind}`: ")[1]
