"""A latency band confirmed by measurement: a detector that is measured too slow is not trained."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from scalesearch.app.confirm_latency import confirmation, plan_table
from scalesearch.cost.budget import Bound, Budget
from scalesearch.cost.latency import OTHER, HeldOut, LatencyTable
from scalesearch.plan.latency_table import write_table
from scalesearch.plan.plan import Plan, PlanError, changes, read_plan
from scalesearch.profile.latency_setting import setting_of
from tests.detectors import TINY

PLAN = """
space: {backbone: efficientnet-w0.25-d0.25, width: [8, 16], size: 64, max_level: 5, repeats: 1, head_depth: 1}
band: {latency: {max: 20ms}}
latency: {table: table.json}
"""


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


def test_what_is_measured_decides(tmp_path: Path, table: LatencyTable, caplog: pytest.LogCaptureFixture) -> None:
    confirm = confirmation(plan(tmp_path))
    assert confirm is not None and caplog.messages == []
    assert confirm(TINY, Budget(latency=Bound(0, 10.0))) == ""
    assert confirm(TINY, Budget(macs=Bound(0, 1))) == ""
    missed = confirm(TINY, Budget(latency=Bound(0, 1e-6)))
    assert missed.startswith("latency ") and "over 1 us (predicted " in missed
    assert torch.get_num_threads() == 1


def test_another_machine_is_said_and_not_measured(
    tmp_path: Path, table: LatencyTable, caplog: pytest.LogCaptureFixture
) -> None:
    other = dataclasses.replace(table, setting=dataclasses.replace(table.setting, device="Another Processor"))
    write_table(other, tmp_path / "table.json")
    assert confirmation(plan(tmp_path)) is None
    assert caplog.messages == [
        "latency is predicted, not confirmed by measurement, since its table is of Another Processor"
    ]


def test_a_table_made_anew_is_noticed(tmp_path: Path, table: LatencyTable) -> None:
    first = plan(tmp_path)
    assert first.latency is not None and "error of a prediction: 10.0% on average" in first.latency.timings
    (tmp_path / "plan_as_resolved.yaml").write_text(first.to_yaml())
    assert read_plan(tmp_path / "plan_as_resolved.yaml") == first and plan_table(first) == table
    write_table(table, tmp_path / "moved.json")
    assert not changes(first, plan(tmp_path, "latency.table=moved.json"))
    write_table(dataclasses.replace(table, reference=2e-3), tmp_path / "table.json")
    (change,) = changes(first, plan(tmp_path))
    assert change.startswith("latency.timings (predicted for ")
    with pytest.raises(ValueError, match=r"table\.json: the plan was made with the timings .*; bring the table back"):
        plan_table(read_plan(tmp_path / "plan_as_resolved.yaml"))


@pytest.mark.parametrize("text", ['{"schema": 1', "[]", '{"schema": 7}'])
def test_a_torn_or_foreign_table_is_named_with_its_line(tmp_path: Path, table: LatencyTable, text: str) -> None:
    (tmp_path / "table.json").write_text(text)
    with pytest.raises(
        PlanError, match=r"plan\.yaml:4: latency names a file that is no table of timings: table\.json: "
    ):
        plan(tmp_path)


def test_no_latency_band_needs_no_confirmation(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN.replace("band: {latency: {max: 20ms}}", "band: {macs: {max: 1G}}"))
    assert confirmation(read_plan(tmp_path / "plan.yaml")) is None
