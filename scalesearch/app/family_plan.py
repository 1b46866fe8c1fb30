"""A fitted family as a plan: its members are baselines, and its axes span what the rows do not tell apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scalesearch.arch import backbone as backbones
from scalesearch.arch import spec as specs
from scalesearch.arch.networks import published_name
from scalesearch.cost.budget import Bound, Budget, human
from scalesearch.evidence.scaling_surface import DIMENSIONS
from scalesearch.io.publish import publish
from scalesearch.io.text import for_terminal
from scalesearch.plan.plan import Plan, read_plan
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.sections import DETECTOR, DataPlan, SamplerPlan, WinnersPlan
from scalesearch.records.folder import PLAN
from scalesearch.space.space import AxisValue, Choices, Point

_GRAPH = "graph"
"""Name of a feature network that is not a published one."""
_BELOW = 0.8
"""The band begins at this share of the smallest budget."""


def write_family(found: Mapping[str, Any], source: Path, out: Path) -> None:
    """Write what `fit_scaling` found of its only family as a plan. Raises ValueError where there is no such family."""
    families = [family for family in found["families"] if family["scaled"]]
    if len(families) != 1:
        what = "no family" if not families else f"{len(families)} families"
        raise ValueError(
            f"-o writes one family, but {source} has {what} for budgets; it takes eight rows that vary in two or more of "
            f"{', '.join(DIMENSIONS)}, of a study, or of one family in a file with --design"
        )
    (family,) = families
    plan = _plan(family["scaled"], source, out.stem)
    text = "".join(f"# {line}".rstrip() + "\n" for line in _header(found, family, out, plan)) + plan.to_yaml()
    publish(out, text)


def member_name(budget: float) -> str:
    """Return the name of a member, `25G`."""
    return human(budget).replace(" ", "")


def _plan(scaled: Mapping[str, Any], source: Path, name: str) -> Plan:
    members = scaled["members"]
    designs = [specs.from_dict(one["spec"]) for one in members]
    first = designs[0]
    study = read_plan(source / PLAN) if (source / PLAN).is_file() else None
    graph = (named := published_name(first.topology)) is None
    network, fusion = named or (_GRAPH, None)
    if backbones.parse(first.backbone.name) != backbones.from_dict(backbones.to_dict(first.backbone)):
        raise ValueError(f"-o names a backbone as plans do, but {first.backbone.name!r} has no such name; take --json")
    axes: dict[str, Choices] = {"backbone": Choices((first.backbone.name,)), "topology": Choices((network,))}
    if fusion:
        axes["fusion"] = Choices((fusion,))
    for dimension in DIMENSIONS:
        values: set[AxisValue] = {int(one[dimension]) for one in members}
        for one in members:
            if flat := one["flat"].get(dimension):
                values |= {flat["low"], flat["high"]}
        axes[dimension] = Choices(tuple(sorted(values, key=float)))
    if not graph:
        axes |= {"min_level": Choices((first.levels[0],)), "max_level": Choices((first.levels[-1],))}
    if scaled["aspect"] != 1:
        axes["aspect"] = Choices((scaled["aspect"],))
    anchors = study.anchors if study else first.anchors
    recipe = study.recipe if study else Recipe()
    budgets = [one["budget"] for one in members]
    return Plan(
        name=name,
        data=study.data if study else DataPlan(source="coco"),
        band=Budget(macs=Bound(_BELOW * min(budgets), max(budgets))),
        axes=axes,
        graphs={_GRAPH: first.topology} if graph else {},
        detector={field: getattr(first, field) for field in DETECTOR},
        anchors=anchors,
        objectives=("ap", "macs"),
        sampler=SamplerPlan(),
        recipe=recipe,
        winners=study.winners if study else WinnersPlan(recipe=recipe),
        baselines={member_name(one["budget"]): _point(one, axes) for one in members},
    )


def _point(member: Mapping[str, Any], axes: Mapping[str, Choices]) -> Point:
    return {name: int(member[name]) for name in DIMENSIONS if len(axes[name].values) > 1}


def _header(found: Mapping[str, Any], family: Mapping[str, Any], out: Path, plan: Plan) -> list[str]:
    source, scaled = for_terminal(Path(found["source"]).name), family["scaled"]
    places = 1 if found["ap_unit"] == "points" else 3
    budgets = ",".join(member_name(one["budget"]) for one in scaled["members"])
    lines = [
        f"A family fitted to {source}: scalesearch fit {source} --budgets {budgets} -o {out.name}",
        f"scalesearch train {out.name}#{member_name(scaled['members'][0]['budget'])} --data FOLDER trains one member,",
        f"scalesearch search {out.name} --data FOLDER all as baselines, and searches what the rows do not tell apart.",
        "",
    ]
    if plan.anchors == "auto":
        lines += [
            f"Priced with {scaled['anchors_per_cell']} anchors at a position; anchors: auto may fit another number.",
            "",
        ]
    lines += [
        "Predicted AP of one more training, with its 80 % interval; exact multiply-adds; times the largest known cost:",
    ]
    for one in scaled["members"]:
        low, high = one["ap"]["interval_80"]
        lines.append(
            f"  {member_name(one['budget'])}: AP {one['ap']['value']:.{places}f} ({low:.{places}f} .. {high:.{places}f}), "
            f"{one['macs']:,} multiply-adds, {one['times_largest']:.2g} x"
        )
    return lines
