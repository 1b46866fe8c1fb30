"""Confirmation of a latency band: a candidate predicted inside is built and timed before it is trained."""

from __future__ import annotations

import torch

from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.budget import Budget, human
from scalesearch.cost.latency import LatencySetting, LatencyTable, predict_latency
from scalesearch.plan.latency_table import read_table
from scalesearch.plan.plan import Plan
from scalesearch.plan.task import OtherDeviceError, Outcome, Task
from scalesearch.profile.latency_benchmark import measure_latency
from scalesearch.profile.latency_setting import setting_of


def plan_table(plan: Plan) -> LatencyTable | None:
    """Return the table of the plan's latency predictions. Raises as `read_table`, and ValueError if it changed."""
    if plan.latency is None:
        return None
    table, was = read_table(plan.latency.table), plan.latency.timings
    if was and was != table.description:
        raise ValueError(
            f"{plan.latency.table}: the plan was made with the timings {was!r}, but the file has {table.description!r} now; "
            "bring the table back, or begin a new study with --out"
        )
    return table


def confirm_latency(task: Task, table: LatencyTable | None) -> Outcome:
    """Measure the task's detector; the outcome says as its reason what is missed of the band `task.latency`.

    A measured time is the ratio to the reference operation times the seconds of the reference in the table, so that a
    machine busy with other work measures the same as an idle one. Raises OtherDeviceError, and what building or running
    the detector raises.
    """
    assert task.latency and table, "a plan whose band bounds a latency names a table"
    if strange := _strange(table.setting):
        raise OtherDeviceError(strange)
    found = measured_latency(task.spec, table)
    missed = Budget(latency=task.latency).miss({"latency": found})
    predicted = human(predict_latency(task.spec, table), "latency")
    return Outcome(
        state="failed" if missed else "complete",
        reason=f"{missed} (predicted {predicted})" if missed else "",
        seconds=0.0,
        peak_memory=0,
        images_per_second=0.0,
    )


def measured_latency(spec: DetectorSpec, table: LatencyTable) -> float:
    """Return the measured seconds of a detector in the table's setting, scaled to the table's reference."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(table.setting.threads)  # a worker may have others
        return measure_latency(spec, table.setting).ratio * table.reference
    finally:
        torch.set_num_threads(threads)


def _strange(setting: LatencySetting) -> str:
    """Return why the table's setting is not available on this machine; empty where it is."""
    threads = torch.get_num_threads()
    try:
        for device in ("cuda", "cpu") if torch.cuda.is_available() else ("cpu",):
            here = setting_of(device, setting.backend, setting.precision, setting.threads, setting.batch)
            if here.device == setting.device:
                return ""
    except ValueError as error:
        return str(error)
    finally:
        torch.set_num_threads(threads)
    return f"its table is of {setting.device}"
