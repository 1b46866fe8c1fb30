"""`Plan`: a user's request for one study, with every default filled in. Imports `arch`, `cost`, `space` and PyYAML.

A plan is read from YAML (`read_plan`), written back as resolved (`Plan.to_yaml`), and compared with the
plan that a study folder was begun with (`changes`). Reading the written plan gives the same plan.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Literal

import yaml

from scalesearch.arch.backbone import Backbone
from scalesearch.arch.genes import Genes
from scalesearch.arch.spec import Anchors, topology_to_dict
from scalesearch.arch.topology import Topology
from scalesearch.cost.budget import METRICS, Budget
from scalesearch.plan import checks, sections
from scalesearch.plan.axes import read_axes
from scalesearch.plan.bands import FamilyPlan, LatencyPlan, read_goal, read_latency
from scalesearch.plan.graph_file import NamedGraphs
from scalesearch.plan.ladder import Ladder, read_ladder
from scalesearch.plan.reader import PlanError, Section, read_section
from scalesearch.plan.recipe import NONE, Recipe
from scalesearch.plan.sections import DataPlan, SamplerPlan, WinnersPlan
from scalesearch.space.space import AxisValue, Choices, Frame, Point, Space

__all__ = ["Plan", "PlanError", "changes", "read_plan"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One study. `unit: spec` has a `band`, `unit: family` a `family`; the other is None."""

    name: str
    """The stem of the plan's file by default."""
    data: DataPlan
    unit: Literal["spec", "family"] = "spec"
    band: Budget | None = None
    family: FamilyPlan | None = None
    axes: Mapping[str, Choices]
    """The search space by axis; a constant has one value."""
    graphs: Mapping[str, Topology] = field(default_factory=dict)
    """The user's feature networks on the axis topology, by name or path of the file."""
    genes: Genes | None = None
    """Free graphs in place of the axis topology."""
    detector: Mapping[str, Any]
    """Every other field of `DetectorSpec` except classes and anchors."""
    anchors: Anchors | Literal["auto"] = "auto"
    objectives: tuple[str, ...]
    latency: LatencyPlan | None = None
    """How latency is predicted; needed if a band or the objectives use it."""
    sampler: SamplerPlan
    ladder: Ladder | None = None
    """Without a ladder, every candidate is trained to the end of the recipe."""
    trials: int = 12
    """Candidates that the search trains, repeats among them; may grow when a study is resumed."""
    repeats: float = 0.0
    """Share of the trials that train candidates again with other seeds, those that decide the front."""
    seed: int = 0
    workers: int | None = None
    """Trainings at a time, each in its own process if there are several. May change when a study is resumed. By default one,
    or as many as keep the GPUs of this machine busy."""
    together: int = 1
    """Candidates with the same frozen backbone that a worker trains at a time, by one forward pass of it. They are proposed
    before the results of each other are known."""
    threads: int | None = None
    """Processor threads of a training; by default the cores are divided among the workers."""
    time_limit: float | None = None
    """Seconds that one training of the search may take; a longer one is recorded as failed."""
    recipe: Recipe
    winners: WinnersPlan
    baselines: Mapping[str, Point] = field(default_factory=dict)
    notes: tuple[str, ...] = field(default=(), compare=False)
    """A line for each dropped node of a graph; no part of the resolved plan."""

    @property
    def repeated(self) -> int:
        """The number of trials that are repeats."""
        return math.floor(self.repeats * self.trials + 1e-9)

    @property
    def candidates(self) -> int:
        """The number of candidates that the search proposes."""
        return self.trials - self.repeated

    @property
    def bands(self) -> tuple[Budget, ...]:
        """The band, or the bands of the family's members in order."""
        if self.family:
            return self.family.bands
        assert self.band, "a plan has a band or a family"
        return (self.band,)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that the bands and the objectives use, AP aside; in the order of METRICS."""
        asked = {*self.objectives, *(name for band in self.bands for name in band.bounds)}
        return tuple(name for name in METRICS if name in asked)

    def space(
        self,
        *,
        classes: int,
        anchors: Anchors | Mapping[Frame, Anchors] | None = None,
        measured: Mapping[tuple[str, int, int], Backbone] | None = None,
        normalisations: Mapping[str, str] | None = None,
    ) -> Space:
        """Return the plan's space for a data set of `classes`; `anchors` are the fitted ones, used for anchors: auto.

        The axis that a family solves is one of its axes, with the values to solve over.
        ValueError if auto anchors were not given, or for a space that no detector can have.
        """
        fixed = anchors if self.anchors == "auto" else self.anchors
        if fixed is None:
            raise ValueError(f"the plan {self.name} has anchors: auto, so its space needs the fitted anchors")
        solved = {self.family.solve: self.family.values} if self.family else {}
        return Space(
            axes={**self.axes, **solved},
            classes=classes,
            fixed=self.detector,
            anchors=fixed,
            measured=measured or {},
            normalisations=normalisations or {},
            graphs=self.graphs,
            genes=self.genes,
        )

    @cached_property
    def frames(self) -> tuple[Frame, ...]:
        """Every frame that a candidate or a baseline can have."""
        space = self.space(classes=1, anchors=Anchors())
        phis: list[Point] = [{"phi": phi} for phi in self.family.phi] if self.family else [{}]
        found = [frame for phi in phis for frame in space.frames(**{name: [value] for name, value in phi.items()})]
        solved: list[Point] = [{}]
        if self.family:
            solved = [{self.family.solve: value} for value in self.family.values.values]
        for point, phi, value in product(self.baselines.values(), phis, solved):
            spec = space.spec(point, **phi, **value)
            found.append((spec.size, spec.topology.min_level, spec.topology.max_level))
        return tuple(dict.fromkeys(found))

    @cached_property
    def backbones(self) -> tuple[str, ...]:
        """Every backbone that a candidate or a baseline can have."""
        space = self.space(classes=1, anchors=Anchors())
        given: dict[str, Sequence[AxisValue]] = {"phi": self.family.phi} if self.family else {}
        found = space.backbones(**given)
        for point in self.baselines.values():
            own: dict[str, Sequence[AxisValue]] = {
                name: (point[name],) for name in ("backbone", "phi") if name in point
            }
            found += space.backbones(**{**own, **given})
        return tuple(dict.fromkeys(found))

    def resolved(self) -> dict[str, Any]:
        """Return plain data of every field, in the form that `read_plan` reads."""
        data = {
            "name": self.name,
            "data": dataclasses.asdict(self.data),
            "unit": self.unit,
            "band": self.band.to_dict() if self.band else None,
            "family": _family(self.family) if self.family else None,
            "space": {name: _axis(axis) for name, axis in self.axes.items()} | _genes(self.genes),
            "graphs": {name: topology_to_dict(graph) for name, graph in self.graphs.items()} or None,
            "detector": dict(self.detector),
            "anchors": self.anchors if self.anchors == "auto" else _lists(dataclasses.asdict(self.anchors)),
            "objectives": list(self.objectives),
            "latency": {k: v for k, v in dataclasses.asdict(self.latency).items() if v} if self.latency else None,
            "sampler": dataclasses.asdict(self.sampler),
            "ladder": self.ladder.to_dict() if self.ladder else None,
            "trials": self.trials,
            "repeats": self.repeats or None,
            "seed": self.seed,
            "workers": self.workers,
            "together": self.together if self.together > 1 else None,
            "threads": self.threads,
            "time_limit": self.time_limit,
            "recipe": _lists(dataclasses.asdict(self.recipe)),
            "winners": _lists(dataclasses.asdict(self.winners)),
            "baselines": {name: dict(point) for name, point in self.baselines.items()},
        }
        return {key: value for key, value in data.items() if value is not None}

    def to_yaml(self) -> str:
        """Return `resolved` as YAML text."""
        return as_yaml(self.resolved())


def as_yaml(data: dict[str, Any]) -> str:
    """Return the YAML text of a resolved plan."""
    return yaml.safe_dump(data, sort_keys=False, width=110, default_flow_style=None, allow_unicode=True)


def _axis(axis: Choices) -> Any:
    return axis.values[0] if len(axis.values) == 1 else list(axis.values)


def _genes(genes: Genes | None) -> dict[str, Any]:
    if genes is None:
        return {}
    return {"topology": {"genes": {"nodes": genes.nodes, "inputs": genes.inputs, "fusions": list(genes.fusions)}}}


def _family(family: FamilyPlan) -> dict[str, Any]:
    return {
        "bands": [band.to_dict() for band in family.bands],
        "phi": list(family.phi),
        "solve": {family.solve: _axis(family.values)},
    }


def _lists(data: Any) -> Any:
    """Return `data` with lists for tuples, which YAML and JSON do not have."""
    if isinstance(data, dict):
        return {key: _lists(value) for key, value in data.items()}
    return [_lists(value) for value in data] if isinstance(data, (list, tuple)) else data


def changes(old: Plan, new: Plan, *, same_data: bool = False) -> tuple[str, ...]:
    """Return why a study begun with `old` cannot be resumed with `new`: `key (old -> new)` for each key that differs.

    `trials`, `winners.top`, `winners.seeds` and `baselines` may grow, which leaves the rows that are there as they are;
    `workers`, `together` and `threads` may change. `data.source` may be another path if `same_data` says that the
    fingerprint is the same, `latency.table` if its timings are, and the path of weights if their content is.
    """
    before, after = dict(_flat(old.resolved())), dict(_flat(new.resolved()))
    differ = [key for key in {**before, **after} if before.get(key, "absent") != after.get(key, "absent")]
    grown = _grown(old, new)
    allowed = {"workers", "together", "threads"} | {key for key in differ if key.startswith(grown)}
    allowed |= {"data.source"} if same_data else set()
    allowed |= {"latency.table"} if before.get("latency.timings") else set()
    for recipe in ("recipe", "winners.recipe"):
        hashed = before.get(f"{recipe}.weights_hash")
        allowed |= {f"{recipe}.weights"} if hashed not in (NONE, None) else set()
    return tuple(
        f"{key} ({before.get(key, 'absent')} -> {after.get(key, 'absent')})" for key in differ if key not in allowed
    )


def _grown(old: Plan, new: Plan) -> tuple[str, ...]:
    """Return the keys of what may grow and has not shrunk. A new size would fit all anchors anew, where they are fitted."""
    more = {
        "trials": new.trials >= old.trials,
        "winners.top": new.winners.top >= old.winners.top,
        "winners.seeds": {*new.winners.seeds} >= {*old.winners.seeds},
        "baselines": all(new.baselines.get(name) == point for name, point in old.baselines.items())
        and (new.anchors != "auto" or new.frames == old.frames),
    }
    return tuple(key for key, kept in more.items() if kept)


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def read_plan(path: str | Path, overrides: Sequence[str] = ()) -> Plan:
    """Read the plan in the YAML file `path`, with overrides such as `trials=6` or `space.width=[16,32]`.

    Raises PlanError (a ValueError): `file:line: rule, value, mend`, or the override in place of the file.
    """
    top = read_section(Path(path), overrides)
    graphs = NamedGraphs(Path(path).parent, top.section("graphs"))
    axes, genes = read_axes(top.section("space"), graphs)
    goal = read_goal(top)
    recipe = sections.read_recipe(top.get("recipe"), Recipe())
    family = goal if isinstance(goal, FamilyPlan) else None
    baselines = sections.read_baselines(top.section("baselines"), checks.settable(axes, family), graphs)
    plan = Plan(
        name=sections.read_name(top, Path(path).stem),
        data=sections.read_data(top.section("data")),
        unit="family" if family else "spec",
        band=goal if isinstance(goal, Budget) else None,
        family=family,
        axes=axes,
        graphs=graphs.found,
        genes=genes,
        detector=sections.read_detector(top.section("detector")),
        anchors=sections.read_anchors(top.get("anchors")),
        objectives=sections.read_objectives(top.get("objectives")),
        latency=read_latency(top.get("latency")),
        sampler=sections.read_sampler(top.section("sampler")),
        ladder=read_ladder(top.get("ladder"), None if recipe.steps else recipe.epochs),
        trials=top.integer("trials", Plan.trials, low=1, high=100_000),
        repeats=sections.read_repeats(top.get("repeats")),
        seed=sections.read_seed(top.get("seed")),
        workers=top.integer("workers", 1, low=1, high=4096) if top.get("workers") else None,
        together=top.integer("together", Plan.together, low=1, high=256),
        threads=top.integer("threads", 1, low=1, high=1024) if top.get("threads") else None,
        time_limit=limit.seconds() if (limit := top.get("time_limit")) else None,
        recipe=recipe,
        winners=sections.read_winners(top.section("winners"), recipe),
        baselines=baselines,
        notes=tuple(graphs.notes),
    )
    top.done()
    _check(plan, top)
    return plan


def _check(plan: Plan, top: Section) -> None:
    if "latency" in plan.metrics and plan.latency is None:
        key = "objectives" if "latency" in plan.objectives else "family" if plan.family else "band"
        raise top.need(key).error(
            "uses latency, which is predicted from a table of this device's timings: make one with "
            "`scalesearch calibrate`, and add the key latency: {table: FILE}"
        )
    checks.check_together(plan.together, plan.recipe, top)
    section = top.section("space")
    checks.check_axes(plan.axes, plan.family, section)
    try:
        space = plan.space(classes=1, anchors=Anchors())
    except ValueError as error:
        raise section.blamed(error) from None
    solve = [top.section("family").section("solve")] if plan.family else []
    checks.check_specs(space, plan.family, [top.section("detector"), *solve, section])
    checks.check_baselines(space, plan.family, plan.baselines, top.section("baselines"))
