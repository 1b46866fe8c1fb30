"""Confirmation of a latency band: a candidate predicted inside is built and timed before it is trained."""

from __future__ import annotations

import logging

import torch

from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.budget import Budget, human
from scalesearch.cost.latency import LatencySetting, LatencyTable, predict_latency
from scalesearch.plan.latency_table import read_table
from scalesearch.plan.plan import Plan
from scalesearch.profile.latency_benchmark import measure_latency
from scalesearch.profile.latency_setting import setting_of
from scalesearch.study.study import Confirm

logger = logging.getLogger(__name__)


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


def confirmation(plan: Plan) -> Confirm | None:
    """Return the function that measures a plan's latency bands; None without such bands or on another machine.

    A measured time is the ratio to the reference operation times the seconds of the reference in the table, so that a
    machine busy with trainings measures the same as an idle one.
    """
    if not any("latency" in band.bounds for band in plan.bands):
        return None
    table = plan_table(plan)
    assert table, "a plan whose band bounds a latency names a table"
    if strange := _strange(table.setting):
        logger.warning(f"latency is predicted, not confirmed by measurement, since {strange}")
        return None

    def confirm(spec: DetectorSpec, band: Budget) -> str:
        if "latency" not in band.bounds:
            return ""
        found, predicted = measured_latency(spec, table), predict_latency(spec, table)
        missed = Budget(latency=band.bounds["latency"]).miss({"latency": found})
        return f"{missed} (predicted {human(predicted, 'latency')})" if missed else ""

    return confirm


def measured_latency(spec: DetectorSpec, table: LatencyTable) -> float:
    """Return the measured seconds of a detector in the table's setting, scaled to the table's reference."""
    threads = torch.get_num_threads()
    try:
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
