"""A latency band confirmed by measurement: what is too slow when it is built is not trained."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from scalesearch.arch.budget import Bound, Budget
from scalesearch.arch.latency import OTHER, HeldOut, LatencyTable, write_table
from scalesearch.launch.confirm import confirmation
from scalesearch.plan.plan import Plan, read_plan
from scalesearch.profile.latency import setting_of
from tests.detectors import TINY

PLAN = """
space: {backbone: efficientnet-w0.25-d0.25, width: [8, 16], size: 64, max_level: 5, repeats: 1, head_depth: 1}
band: {latency: {max: 20ms}}
latency: {table: table.json}
"""


class Lines:
    """A console that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def bar(self, label: str, *, at_once: bool = False) -> object:
        raise AssertionError("nothing here has a bar")


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LatencyTable:
    """A table of this machine whose reference took a millisecond, written where the plan looks for it."""
    monkeypatch.chdir(tmp_path)
    made = LatencyTable(
        setting=setting_of("cpu", "eager", "fp32", 1, 1),
        reference=1e-3,
        prices={OTHER: {"calls": 1e-5}},
        error=HeldOut(candidates=3, mean=0.1, worst=0.2),
    )
    write_table(made, tmp_path / "table.json")
    return made


def plan(folder: Path, *changes: str) -> Plan:
    (folder / "plan.yaml").write_text(PLAN)
    return read_plan(folder / "plan.yaml", changes)


def test_what_is_measured_decides(tmp_path: Path, table: LatencyTable) -> None:
    console = Lines()
    confirm = confirmation(plan(tmp_path), console)  # type: ignore[arg-type]
    assert confirm is not None and console.said == []
    assert confirm(TINY, Budget(latency=Bound(0, 10.0))) == ""
    assert confirm(TINY, Budget(macs=Bound(0, 1))) == ""
    missed = confirm(TINY, Budget(latency=Bound(0, 1e-6)))
    assert missed.startswith("measured before training, latency ") and "over 1 us (predicted " in missed
    assert torch.get_num_threads() == 1


def test_another_machine_is_said_and_not_measured(tmp_path: Path, table: LatencyTable) -> None:
    other = dataclasses.replace(table, setting=dataclasses.replace(table.setting, device="Another Processor"))
    write_table(other, tmp_path / "table.json")
    console = Lines()
    assert confirmation(plan(tmp_path), console) is None  # type: ignore[arg-type]
    assert console.said == [
        "latency: by prediction alone, not confirmed by measurement, since its table is of Another Processor"
    ]


def test_no_latency_band_needs_no_confirmation(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN.replace("band: {latency: {max: 20ms}}", "band: {macs: {max: 1G}}"))
    assert confirmation(read_plan(tmp_path / "plan.yaml"), Lines()) is None  # type: ignore[arg-type]
