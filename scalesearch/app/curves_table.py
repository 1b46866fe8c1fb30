"""A study's learning curves as a plain table, which `rehearse`, `audit` and `fit` read."""

from __future__ import annotations

import csv
import dataclasses
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from scalesearch.arch.networks import published_name
from scalesearch.arch.spec import DetectorSpec, topology_to_dict
from scalesearch.arch.topology import Topology
from scalesearch.cost.budget import METRICS
from scalesearch.inputs.quoting import quoted
from scalesearch.io.hashes import short_hash
from scalesearch.io.publish import publish_or_keep
from scalesearch.plan.plan import read_plan
from scalesearch.records.comparable import comparable_rows
from scalesearch.records.folder import PLAN, check_study, read_rows
from scalesearch.records.row import Row

log = logging.getLogger(__name__)

_DIGITS = 5
"""Digits of AP and loss after the point: seeds differ by some 0.01."""
_DIMENSIONS = ("backbone", "topology", "size", "classes", "repeats", "width", "head_depth")
"""Fields of a detector that have columns of their own here, or none."""


def write_curves(study: Path, out: Path) -> None:
    """Write the complete trainings of `study` that can be compared to the CSV file `out`, a line for each evaluation.

    Raises ValueError for a folder that is no study, or has no such training. Logs what was left out.
    """
    check_study(study)
    found = comparable_rows(read_rows(study))
    if not found.rows:
        raise ValueError(f"{study}: a table needs complete trainings with an AP, but there is none; search first")
    graphs = {graph: name for name, graph in read_plan(study / PLAN).graphs.items()}
    lines = _lines(found.rows, graphs)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    publish_or_keep(out, text.getvalue())
    points = len({row.spec_id for row in found.rows})
    log.info(
        "%s: %s of %s detectors, %s lines", out, _some(len(found.rows), "training"), f"{points:,}", f"{len(lines):,}"
    )
    if found.left_out:
        log.warning(
            "%s left out: another recipe, other data or another split than that of most",
            _some(found.left_out, "training"),
        )


def _some(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("s" if count > 1 else "")


def _lines(rows: Sequence[Row], graphs: Mapping[Topology, str]) -> list[dict[str, object]]:
    found = points([row.spec for row in rows], graphs)
    costs = [name for name in METRICS if all(name in row.cost for row in rows)]
    losses = all(row.losses for row in rows)
    lines: list[dict[str, object]] = []
    for row, point in zip(rows, found, strict=True):
        before = 0
        for epoch, ap in row.ap_curve:
            line = {**point, **{name: row.cost[name] for name in costs}, "seed": row.seed, "epoch": epoch}
            line["ap"] = round(ap, _DIGITS)
            if losses:
                since = [float(loss) for at, loss, _, _ in row.losses if before < at <= epoch]
                line["loss"] = round(fmean(since), _DIGITS) if since else ""
            lines.append(line)
            before = epoch
    if losses and any(line["loss"] == "" for line in lines):
        for line in lines:
            del line["loss"]
    return lines


def points(specs: Sequence[DetectorSpec], graphs: Mapping[Topology, str]) -> list[dict[str, object]]:
    """Return what tells the detectors apart: dimensions always, other fields where they differ."""
    found: list[dict[str, object]] = [
        {
            "backbone": spec.backbone.name,
            "topology": _network(spec.topology, graphs),
            "min_level": spec.levels[0],
            "max_level": spec.levels[-1],
            "size": max(spec.size),
            "width": spec.width,
            "repeats": spec.repeats,
            "head_depth": spec.head_depth,
        }
        for spec in specs
    ]
    if len({max(spec.size) for spec in specs}) < len({spec.size for spec in specs}):
        for point, spec in zip(found, specs, strict=True):
            point |= {"height": spec.size[0], "input_width": spec.size[1]}
    for field in dataclasses.fields(DetectorSpec):
        values = [_value(spec, field.name) for spec in specs]
        if field.name not in _DIMENSIONS and len(set(values)) > 1:
            for point, value in zip(found, values, strict=True):
                point[field.name] = value
    return found


def _value(spec: DetectorSpec, field: str) -> Any:
    value = getattr(spec, field)
    if field == "head_width":
        return "as width" if value == spec.width else f"{value} channels"
    return value if isinstance(value, (int, float, str)) else quoted(value)


def _network(topology: Topology, graphs: Mapping[Topology, str]) -> str:
    if named := published_name(topology):
        name, fusion = named
        return f"{name} {fusion}" if fusion else name
    return graphs.get(topology) or f"graph {short_hash(str(topology_to_dict(topology)))}"
