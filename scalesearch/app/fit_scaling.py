"""What `scalesearch fit` does: the law of each family of the rows given, and what it predicts, as plain data."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scalesearch.app.scaling_family import FARTHEST, FamilyMember, family_for
from scalesearch.app.scaling_rows import ScalingRows, dimensions_of, read_scaling_rows
from scalesearch.arch import spec as specs
from scalesearch.cost.budget import human
from scalesearch.evidence.family_prior import published_families
from scalesearch.evidence.scaling_law import (
    FEW,
    IntervalEstimate,
    Member,
    ScalingError,
    ScalingLaw,
    estimate,
    fit_law,
)
from scalesearch.evidence.scaling_surface import fit_surface
from scalesearch.plan.design import read_design, unfitted_note

logger = logging.getLogger(__name__)


def fit_scaling(
    source: Path, flops_are: str | None, budgets: Sequence[float], design: str | None = None
) -> dict[str, Any]:
    """Return the laws of the families in `source`, and their predictions at `budgets` (multiply-adds), as plain data.

    Where the rows vary in two dimensions or more, and it is known what to price (a study's detectors, or `design`), also the
    best dimensions at each budget. AP is in the unit of the source. Raises ValueError for rows that cannot be read or fitted.
    """
    rows = read_scaling_rows(source, flops_are)
    if design:
        rows = dataclasses.replace(rows, base=read_design(design))
        if note := unfitted_note(design):
            logger.info(note)
    return {
        "source": str(source),
        "ap_unit": "fraction" if rows.unit > 1 else "points",
        "facts": list(rows.facts),
        "families": [_family(rows, name, members, budgets) for name, members in rows.families.items()],
    }


def _family(rows: ScalingRows, name: str, members: Sequence[Member], budgets: Sequence[float]) -> dict[str, Any]:
    group = next(
        (one.group for one in published_families() if name.lower() in (one.name.lower(), one.group.lower())), ""
    )
    try:
        law = fit_law(members, without=group)
    except ScalingError as error:
        raise ValueError(f"{rows.source}: {name}: {error}") from None
    points = {"A", "B", "C"}
    best = [law.best_sizes(macs) for macs in budgets] if law.size else []
    expected = law.predict(budgets, [one.value for one in best] if law.size else None) if budgets else []
    predictions = []
    for i, (macs, ap) in enumerate(zip(budgets, expected, strict=True)):
        found = {"macs": macs, "ap": _shown(ap, rows.unit), "times_largest": law.extrapolates(macs)}
        predictions.append(found | ({"size": _shown(best[i])} if best else {}))
    return {
        "family": name,
        "detectors": len(members),
        "trainings": sum(len(member.aps) for member in members),
        "macs": [law.members[0].macs, law.members[-1].macs],
        "members": [
            {"name": one.name, "macs": one.macs, "ap": one.ap / rows.unit, "residual": residual / rows.unit}
            for one, residual in zip(law.members, law.residuals(), strict=True)
        ],
        "law": "AP = A - B F^-c" if law.size is None else "AP = A - B N^-a - C S^-b",
        "where": _where(law),
        "parameters": {
            key: _shown(value, rows.unit if key in points else 1.0) for key, value in law.parameters.items()
        },
        "noise": _shown(law.noise, rows.unit),
        "starts": law.solution.starts,
        "agreeing_starts": law.solution.agreeing,
        "prior": None
        if law.prior is None
        else {"families": law.prior.families, "groups": law.prior.groups, "without": group},
        "notes": _notes(law, group),
        "predictions": predictions,
        "scaled": _scaled(rows, members, budgets),
    }


def _scaled(rows: ScalingRows, members: Sequence[Member], budgets: Sequence[float]) -> dict[str, Any] | None:
    """Return the family for the budgets; None where no surface can be fitted or priced, or no budget is asked for."""
    known = [one.macs for one in members]
    near = [budget for budget in budgets if min(known) / FARTHEST <= budget <= max(known) * FARTHEST]
    if rows.base is None or not near or (surface := fit_surface(members)) is None:
        return None
    family = family_for(surface, rows.base, near, rows.aspect)
    return {
        "varied": [*surface.varied, surface.solved],
        "solved": surface.solved,
        "kinds": len(surface.kinds),
        "noise": _shown(estimate(surface.scatter), rows.unit),
        "growth_per_doubling": {name: _shown(one) for name, one in family.growth.items()},
        "aspect": rows.aspect or rows.base.size[0] / rows.base.size[1],
        "anchors_per_cell": rows.base.anchors.per_cell,
        "left_out": [budget for budget in budgets if budget not in near],
        "members": [_member(one, rows.unit) for one in family.members],
    }


def _member(one: FamilyMember, unit: float) -> dict[str, Any]:
    return {
        "budget": one.budget,
        "macs": one.macs,
        "params": one.params,
        **dimensions_of(one.spec),
        "ap": _shown(one.ap, unit),
        "flat": {name: dataclasses.asdict(flat) for name, flat in one.flat.items()},
        "times_largest": one.times_largest,
        "beyond": list(one.beyond),
        "spec": specs.to_dict(one.spec),
    }


def _shown(found: IntervalEstimate, unit: float = 1.0) -> dict[str, Any]:
    return {
        "value": found.value / unit,
        "interval_80": [end / unit for end in found.of_80],
        "interval_95": [end / unit for end in found.of_95],
    }


def _where(law: ScalingLaw) -> str:
    if law.size is None:
        return "F: multiply-adds / 10^9"
    return f"N: multiply-adds / 10^9 at {law.size:.0f} pixels; S: input size / {law.size:.0f}"


def _notes(law: ScalingLaw, group: str) -> list[str]:
    notes = []
    if law.prior:
        few = len(law.members) < FEW
        why = (
            f"{len(law.members)} detectors are fewer than {FEW}"
            if few
            else f"the costs span only {law.members[-1].macs / law.members[0].macs:.2g} to 1"
        )
        notes.append(
            f"fitted with a prior, since {why}: {law.prior.families} published families of COCO detectors"
            + (f", without those of {group}" if group else "")
            + "; other data and recipes may scale otherwise"
        )
    elif law.size is None and all(member.size for member in law.members) and len({m.size for m in law.members}) > 1:
        notes.append("the input size has no term of its own: these rows do not tell it apart from the network's cost")
    if law.solution.agreeing < law.solution.starts:
        notes.append(f"{law.solution.agreeing} of {law.solution.starts} starts reached this fit, the others worse ones")
    if law.ceiling_is_open:
        notes.append("the rows leave the ceiling A open, up to AP 100: add a dearer detector before extrapolating")
    low, high = (human(member.macs) for member in (law.members[0], law.members[-1]))
    return [*notes, f"known from {low} to {high} multiply-adds; an interval holds one more detector of the family"]
