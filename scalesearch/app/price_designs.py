"""Prices of designs: published names, files, or a plan's baselines and candidates from inside its band."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from scalesearch.arch import spec as specs
from scalesearch.arch.backbone import TimmBackbone
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.latency import LatencyTable, predict_latency
from scalesearch.cost.memory import inference_memory
from scalesearch.cost.price import Breakdown, breakdown
from scalesearch.plan.design import published_name, read_design, unfitted_note
from scalesearch.plan.reader import read_section
from scalesearch.space.space import shown

logger = logging.getLogger(__name__)

DRAWN = 8
"""Candidates that represent a plan, beside its baselines."""


@dataclass(frozen=True, kw_only=True)
class Priced:
    """One design and its price."""

    name: str
    spec: DetectorSpec
    parts: Breakdown
    memory: int
    """Bytes of an inference, `cost.memory.inference_memory`."""
    latency: float | None = None
    """Predicted seconds, where a table was given."""
    family: str = ""
    phi: float | None = None
    """The design's family, and its phi there; None outside a family."""

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics of the whole detector, by name."""
        whole: dict[str, float] = {**self.parts.total._asdict(), "memory": self.memory}
        return whole if self.latency is None else {**whole, "latency": self.latency}

    def to_dict(self) -> dict[str, Any]:
        """Return the design's name and id, `Breakdown.to_dict`, memory, latency (where predicted), and the spec."""
        which = {"design": self.name, "spec_id": self.spec.id, "size": list(self.spec.size)}
        whole: dict[str, Any] = {name: self.metrics[name] for name in ("memory", "latency") if name in self.metrics}
        known = {**which, "classes": self.spec.classes, **self.parts.to_dict(), **whole}
        return {**known, "spec": specs.to_dict(self.spec)}

    def flat(self) -> dict[str, Any]:
        """Return one row of a table of designs."""
        height, width = self.spec.size
        row: dict[str, Any] = {"design": self.name, "spec_id": self.spec.id, "height": height, "width": width}
        row |= {"classes": self.spec.classes, **self.metrics}
        return row | {f"{part}_macs": costs["macs"] for part, costs in self.parts.to_dict().items() if part != "total"}


def priced(designs: Sequence[str], classes: int | None, size: str | None, table: LatencyTable | None) -> list[Priced]:
    """Price each design; a plan gives several. Raises ValueError for what is neither, and for a plan with a `size`."""
    found: list[tuple[str, DetectorSpec, str, float | None]] = []
    for design in designs:
        if _is_plan(Path(design)):
            if size:
                raise ValueError(f"--size is for one detector, but {design} is a plan; set size in its space")
            found += _of_plan(Path(design), classes)
        else:
            found.append((design, read_design(design, classes, size), *_published(design)))
            if note := unfitted_note(design):
                logger.info(note)
    return [_priced(*one, table) for one in found]


def _priced(name: str, bare: DetectorSpec, family: str, phi: float | None, table: LatencyTable | None) -> Priced:
    spec = bare
    if isinstance(bare.backbone, TimmBackbone):  # only then is torch needed
        from scalesearch.profile.resolve import resolve_spec

        spec = resolve_spec(bare)
    latency = None if table is None else predict_latency(spec, table)
    memory = inference_memory(spec)
    return Priced(name=name, spec=spec, parts=breakdown(spec), memory=memory, latency=latency, family=family, phi=phi)


def _published(name: str) -> tuple[str, float | None]:
    match = re.fullmatch(r"(d|lite)([0-7])", published_name(name))
    return (match[1], float(match[2])) if match else ("", None)


def _is_plan(path: Path) -> bool:
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        return False
    return not {"band", "family", "sampler", "trials"}.isdisjoint(read_section(path).keys)


def _of_plan(path: Path, classes: int | None) -> list[tuple[str, DetectorSpec, str, float | None]]:
    """Return each member of a plan's baselines and of some candidates from inside its band."""
    from scalesearch.app.describe_space import describe_space
    from scalesearch.plan.plan import read_plan

    plan = read_plan(path)
    seen = describe_space(plan, classes=classes, count=DRAWN)
    logger.info(f"{path}: {seen.held}; {len(seen.candidates)} of the candidates inside are shown")
    named = [(f"{i}: {shown(one.point) or 'the only point'}", one.members) for i, one in enumerate(seen.candidates, 1)]
    if named and plan.family is None:
        space = plan.space(classes=named[0][1][0].classes, anchors=named[0][1][0].anchors)
        named = [(f"baseline {name}", (space.spec(point),)) for name, point in plan.baselines.items()] + named
    phis: Sequence[float | None] = plan.family.phi if plan.family else (None,)
    return [
        (name if phi is None else f"{name}, phi {phi:g}", spec, name, phi)
        for name, members in named
        for spec, phi in zip(members, phis, strict=True)
    ]


def as_text(found: Sequence[Priced], form: Literal["json", "csv"]) -> str:
    """Return JSON (one object, or a list of several) or CSV (a header and a row for each)."""
    if form == "json":
        data = [one.to_dict() for one in found]
        return json.dumps(data if len(data) > 1 else data[0], indent=2)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(found[0].flat()), lineterminator="\n")
    writer.writeheader()
    writer.writerows(one.flat() for one in found)
    return out.getvalue()


def draw(found: Sequence[Priced], table: LatencyTable | None, path: Path) -> None:
    """Plot cost over phi of the families among the designs. Raises ValueError where there is none."""
    from scalesearch.report.cost_plot import draw_costs

    families: dict[str, list[tuple[float, dict[str, float]]]] = {}
    for one in found:
        if one.phi is not None:
            families.setdefault(one.family, []).append((one.phi, one.metrics))
    draw_costs(families, path, "" if table is None else f"latency: {table}")
