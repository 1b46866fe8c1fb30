"""Every rule for going on from a rung is tried on a small rehearsal."""

from __future__ import annotations

import sys

import pytest

from tests.benchmarks.scripts import script


def test_each_rule_has_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rules = script("ladder_rules")
    monkeypatch.setattr(sys, "argv", ["ladder_rules.py", "--seeds", "2", "--trials", "20", "--landscapes", "plain"])
    rules.main()
    lines = [line for line in capsys.readouterr().out.splitlines() if "of the epochs" in line]
    assert [line[18:28].strip() for line in lines] == list(rules.RULES)
    assert len({line[28:] for line in lines}) > 1  # the rule is what differs
