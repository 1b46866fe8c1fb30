"""A small space, a trainer of three lines, and a study that runs in milliseconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from scalesearch.cost import budget
from scalesearch.cost.metrics import meter_of
from scalesearch.cost.price import price
from scalesearch.mirror.ledger import OptunaLedger
from scalesearch.plan.plan import Plan, read_plan
from scalesearch.records.folder import StudyFolder
from scalesearch.space.candidates import FamilyUnit, SpecUnit
from scalesearch.space.find_band import find_band
from scalesearch.study.study import Provenance, Study

PLAN = """
space:
  backbone: efficientnet-w0.25-d0.3
  topology: [fpn, panet, bifpn]
  size: {low: 64, high: 128, step: 32}
  width: {low: 16, high: 64, step: 8}
  repeats: [1, 2, 3]
  head_depth: 1
band: {macs: {min: 8M, max: 16M}}
sampler: {name: tpe, startup: 4}
trials: 12
winners: {top: 2, seeds: [0, 1]}
baselines: {plain: {topology: fpn, size: 96, width: 24, repeats: 1}}
"""

FAMILY = """
unit: family
family:
  bands: [{macs: {min: 4M, max: 6M}}, {macs: {min: 9M, max: 14M}}]
  solve: {size: {low: 32, high: 256, step: 8}}
space:
  backbone: efficientnet-w0.25-d0.3
  width_base: 24
  width_factor: [1.0, 1.3, 1.6, 2.0]
  repeats_base: 1
  repeats_step: 1
  head_depth: 1
objectives: [ap]
sampler: {name: grid}
trials: 4
winners: {top: 1, seeds: [0]}
"""

PROVENANCE = Provenance(
    data="0" * 12,
    splits={"train": "a", "select": "b", "train+select": "a and b", "val": "c"},
    threads=1,
    machine={"cpu": "none"},
    versions={"python": "3"},
)


def make_plan(folder: Path, text: str = PLAN, *overrides: str) -> Plan:
    """A plan read from `text`."""
    file = folder / "toy.yaml"
    file.write_text(text)
    return read_plan(file, overrides)


def make_study(folder: Path, plan: Plan) -> Study:
    """A study of `plan` in `folder`."""
    from scalesearch.arch.spec import Anchors

    space = plan.space(classes=3, anchors=Anchors())
    if plan.family:
        unit: FamilyUnit | SpecUnit = FamilyUnit(space, plan.family.bands, plan.family.phi, plan.family.solve)
    else:
        unit = SpecUnit(space, plan.band or budget.from_dict({}))
    opened = StudyFolder.open(folder / "study", plan, data=PROVENANCE.data)
    ledger = OptunaLedger(opened.path, plan.name, plan.objectives, unit.axes)
    return Study(plan=plan, unit=unit, band=find_band(unit), folder=opened, provenance=PROVENANCE, ledger=ledger)


def make_latency_study(folder: Path, plan: Plan) -> Study:
    """A study of `plan` whose band bounds a latency, too, which each candidate is predicted to be inside."""
    study = make_study(folder, plan)
    assert isinstance(study.unit, SpecUnit)
    bounds = {**study.unit.budget.bounds, "latency": budget.Bound(0, 0.02)}
    meter = meter_of(bounds, predict=lambda spec: price(spec).macs * 1e-9)
    unit = SpecUnit(study.unit.space, budget.Budget(**bounds), meter)
    return replace(study, unit=unit, band=find_band(unit), confirm=True)


@pytest.fixture(autouse=True)
def quiet_optuna() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """The study of PLAN, not begun."""
    return make_study(tmp_path, make_plan(tmp_path))


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log, lines of trainings among it."""
    caplog.set_level("INFO", "scalesearch")
    return caplog
