"""A latency band confirmed by measurement: a detector that is measured too slow is not trained."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from scalesearch.app import confirm_latency as app
from scalesearch.app.confirm_latency import confirm_latency, plan_table
from scalesearch.app.workers import Engine, make_executor
from scalesearch.arch.backbone import EfficientNet
from scalesearch.arch.networks import bifpn
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.budget import Bound
from scalesearch.cost.latency import OTHER, HeldOut, LatencySetting, LatencyTable
from scalesearch.data.sets import open_data
from scalesearch.plan.latency_table import write_table
from scalesearch.plan.plan import Plan, PlanError, changes, read_plan
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.task import OtherDeviceError, Task
from scalesearch.profile.latency_benchmark import Latency, measure_latency
from scalesearch.profile.latency_setting import setting_of
from tests.detectors import TINY

# Each measurement records the graph anew, in proportion to its operations.
SPEC = dataclasses.replace(
    TINY, backbone=EfficientNet(width=0.25, depth=0.25, lite=True), topology=bifpn(3, 4), head_depth=0
)
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


def measurement(folder: Path, bound: Bound) -> Task:
    return Task(spec=SPEC, recipe=Recipe(epochs=1), seed=0, to_epoch=1, folder=folder, latency=bound)


def test_what_is_measured_decides(tmp_path: Path, table: LatencyTable) -> None:
    inside = confirm_latency(measurement(tmp_path, Bound(0, 10.0)), table)
    assert (inside.state, inside.reason, inside.curve) == ("complete", "", ())
    outside = confirm_latency(measurement(tmp_path, Bound(0, 1e-6)), table)
    assert outside.state == "failed" and outside.reason.startswith("latency ")
    assert "over 1 us (predicted " in outside.reason and list(tmp_path.iterdir()) == [tmp_path / "table.json"]


def test_threads_are_those_of_the_table(tmp_path: Path, table: LatencyTable, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def measured(spec: DetectorSpec, setting: LatencySetting) -> Latency:
        seen.append(torch.get_num_threads())
        return measure_latency(spec, setting, rounds=1)

    monkeypatch.setattr(app, "measure_latency", measured)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        confirm_latency(measurement(tmp_path, Bound(0, 10.0)), table)
        assert seen == [1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_another_machine_is_said_and_not_measured(tmp_path: Path, table: LatencyTable) -> None:
    other = dataclasses.replace(table, setting=dataclasses.replace(table.setting, device="Another Processor"))
    with pytest.raises(OtherDeviceError, match=r"^its table is of Another Processor$"):
        confirm_latency(measurement(tmp_path, Bound(0, 10.0)), other)


@pytest.mark.parametrize(("workers", "together"), [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_a_worker_measures(tmp_path: Path, table: LatencyTable, coco: Path, workers: int, together: int) -> None:
    """In this process, or in one of two, as a task like others."""
    bounded = plan(tmp_path, f"data={{source: {coco}}}", f"together={together}", "recipe.freeze=backbone")
    source = bounded.data
    data = open_data(source.source, train=source.train, val=source.val, select=source.select, seed=source.seed)
    executor = make_executor(Engine(workers=workers, threads=1), bounded, data, tmp_path)
    try:
        inside, outside = (
            executor.submit(measurement(tmp_path / str(high), Bound(0, high)), "") for high in (10.0, 1e-6)
        )
        executor.start()
        assert inside.result(timeout=300).state == "complete"
        executor.start()  # in this process each is begun by a call of its own
        assert outside.result(timeout=300).reason.startswith("latency ")
    finally:
        executor.close()


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
