"""Checks of a whole plan: axes that make no detector together. Imports `space` and other modules of `plan`.

Each check builds specs as the search will, and reports their errors at the line that caused them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from scalesearch.plan.bands import FamilyPlan
from scalesearch.plan.reader import Section
from scalesearch.plan.recipe import Recipe
from scalesearch.space.space import AXES, COEFFICIENTS, DEFAULTS, PHI, AxisValue, Choices, Point, Space


def check_together(together: int, recipe: Recipe, top: Section) -> None:
    """Raise PlanError where candidates are to share the forward pass of a backbone that the recipe trains, or compiles."""
    if together == 1 or (recipe.frozen_backbone and not recipe.compile):
        return
    found = f"unfreeze_at: {recipe.unfreeze_at}" if recipe.unfreeze_at else f"freeze: {recipe.freeze}"
    mend = "freeze: backbone" + (" without unfreeze_at" if recipe.unfreeze_at else "")
    if recipe.frozen_backbone:
        found, mend = "compile: true", "compile: false"
    raise top.need("together").error(
        f"is for candidates whose backbone is never trained, in one forward pass that is not compiled, but got {together} "
        f"and a recipe with {found}: set {mend} there, or together: 1"
    )


def check_axes(axes: Mapping[str, Choices], family: FamilyPlan | None, section: Section) -> None:
    """Raise PlanError for an axis that the family sets itself, or a phi that scales nothing."""
    for name in (family.solve, "phi") if family else ():
        if name in axes:
            raise section.need(name).error("is set by the family for each of its members; leave it out of the space")
    follows = "backbone" in axes and any(PHI in str(name) for name in axes["backbone"].values)
    if "phi" in axes and not follows and not any(name in axes for name in COEFFICIENTS):
        raise section.need("phi").error(
            f"scales nothing here; leave it out, or add one of {', '.join(COEFFICIENTS)}, or a backbone such as "
            f"efficientnet_b{PHI}"
        )
    _check_levels(axes, section)


def _check_levels(axes: Mapping[str, Choices], section: Section) -> None:
    low, high = (axes.get(name, Choices((DEFAULTS[name],))).values for name in ("min_level", "max_level"))
    if max(map(int, low)) >= min(map(int, high)):
        raise section.error(f"must have min_level below max_level, but got {_listed(low)} and {_listed(high)}")


def _listed(values: Iterable[AxisValue]) -> str:
    return ", ".join(map(str, values))


def check_specs(space: Space, family: FamilyPlan | None, sections: Sequence[Section]) -> None:
    """Raise PlanError if a value of an axis gives no detector, the other axes at their first values.

    The error has the line of the first of `sections` with a key that it names, else of the last.
    """
    first: Point = {name: axis.values[0] for name, axis in space.free.items()}
    points = [{**first, name: value} for name, axis in space.free.items() for value in axis.values]
    for point in [first, *points]:
        try:
            for given in _phis(family):
                space.spec(point, **given)
        except ValueError as error:
            blamed = next((section for section in sections if section.named_in(error)), sections[-1])
            raise blamed.blamed(error) from None


def check_baselines(space: Space, family: FamilyPlan | None, baselines: Mapping[str, Point], section: Section) -> None:
    """Raise PlanError for a baseline that leaves an axis open, or is no detector."""
    solved: Point = {family.solve: family.values.values[0]} if family else {}
    for name, point in baselines.items():
        here = section.section(name)
        named = {*point, *solved, *(space.genes.axes if space.genes and "topology" in point else ())}
        if missing := [axis for axis in space.free if axis not in named]:
            raise here.error(f"must set {missing[0]}, which has several values in the space; add it")
        _check_levels({**space.axes, **{axis: Choices((value,)) for axis, value in point.items()}}, here)
        try:
            for given in _phis(family):
                space.spec({**solved, **point}, **given)
        except ValueError as error:
            raise here.blamed(error) from None


def _phis(family: FamilyPlan | None) -> list[Point]:
    """Return the phi of each member of a family as a point; one empty point for a spec."""
    return [{"phi": phi} for phi in family.phi] if family else [{}]


def settable(axes: Mapping[str, Choices], family: FamilyPlan | None) -> tuple[str, ...]:
    """Return the axes that a baseline may set: the space's and those with a default, except those a family sets."""
    taken = ("phi", family.solve) if family else ()
    return tuple(name for name in AXES if (name in axes or name in DEFAULTS) and name not in taken)
