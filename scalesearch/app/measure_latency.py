"""Latency measurement of a detector, and calibration of a table of timings."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.latency import LatencySetting, LatencyTable
from scalesearch.io.cache import cache_folder
from scalesearch.io.publish import publish_or_keep
from scalesearch.plan.latency_table import as_text
from scalesearch.profile import latency_benchmark as latency
from scalesearch.profile.calibrate import calibrate as calibrated
from scalesearch.profile.calibrate import candidate
from scalesearch.profile.latency_benchmark import Latency
from scalesearch.profile.resolve import resolve_spec

logger = logging.getLogger(__name__)

DETECTORS = 40
"""Random detectors that a table is made from: about 4 minutes on one thread in PyTorch, 1 minute in ONNX Runtime."""


def measure(spec: DetectorSpec, setting: LatencySetting) -> Latency:
    """Measure the latency of one detector. Raises ValueError for a backbone that cannot be deployed."""
    return latency.measure_latency(resolve_spec(spec), setting)


def calibrate(setting: LatencySetting, out: Path | None, *, detectors: int = DETECTORS) -> LatencyTable:
    """Make the table of timings of this machine, write it to `out` or the cache, and report its error."""
    specs = [candidate(seed) for seed in range(detectors)]
    table = calibrated(setting, specs)
    file = out or table_file(setting)
    logger.info(f"{setting}: {detectors} detectors timed; the error of a prediction is {table.error}")
    publish_or_keep(file, as_text(table))
    logger.info(f"written to {file}")
    return table


def table_file(setting: LatencySetting) -> Path:
    """Return the cache file of a setting's table; its name contains the device."""
    return cache_folder() / "latency" / (re.sub(r"[^A-Za-z0-9.]+", "-", str(setting)).strip("-") + ".json")
