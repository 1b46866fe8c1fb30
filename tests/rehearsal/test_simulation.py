"""Rehearsals: the driver as it is on a surrogate that answers at once, and a recorded table gives the rows it must."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from scalesearch.arch.spec import Anchors, DetectorSpec
from scalesearch.execute.executor import InProcess
from scalesearch.plan.ladder import Ladder, Rung
from scalesearch.plan.plan import Plan
from scalesearch.plan.task import Task
from scalesearch.records.row import Row
from scalesearch.rehearsal.landscape import Landscape
from scalesearch.rehearsal.result import FrontUpdate, Rehearsed, from_json
from scalesearch.rehearsal.simulation import Answers, MemoryStore, Yardstick, rehearse
from scalesearch.rehearsal.table import RecordedTable
from scalesearch.space.candidates import SpecUnit
from scalesearch.space.find_band import find_band
from scalesearch.space.finite import band_of
from scalesearch.study.driver import run_study, search
from scalesearch.study.study import Study
from tests.studies import PLAN, PROVENANCE, make_plan, make_study
from tests.trainings import learn

LADDER = Ladder(rungs=(Rung(epochs=0.2), Rung(epochs=0.5)))


def rehearsed(plan: Plan, surrogate: Landscape | None = None) -> Rehearsed:
    assert plan.band and plan.band.macs
    band = find_band(SpecUnit(plan.space(classes=3, anchors=Anchors()), plan.band))
    surrogate = surrogate or Landscape(macs=plan.band.macs.middle, epochs=plan.recipe.epochs)
    return rehearse(plan, band, surrogate, Yardstick(band, surrogate, plan.objectives), "here")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return replace(make_plan(tmp_path, PLAN, "recipe.epochs=10"), ladder=LADDER)


def test_a_rehearsal_counts_what_was_trained(plan: Plan) -> None:
    full = rehearsed(replace(plan, ladder=None))
    assert (full.candidates, full.ended, full.epochs, full.full) == (12, 12, 120, 120)
    climbed = rehearsed(plan)
    assert climbed.candidates == 12 and climbed.ended < 12
    assert climbed.epochs < climbed.full == 120
    assert climbed.seconds < full.seconds
    assert rehearsed(plan) == climbed != rehearsed(replace(plan, seed=1))


def test_without_noise_the_volume_only_grows(plan: Plan) -> None:
    assert plan.band and plan.band.macs
    exact = Landscape(macs=plan.band.macs.middle, epochs=10, noise=0.0, wobble=0.0)
    for ladder in (None, LADDER):
        steps = rehearsed(replace(plan, ladder=ladder), exact).steps
        assert all(a.epochs < b.epochs and a.seconds < b.seconds for a, b in pairwise(steps))
        assert all(a.volume <= b.volume and a.above <= b.above for a, b in pairwise(steps))
        assert 0 < steps[-1].volume <= 1


def test_the_whole_band_is_all_there_is(plan: Plan) -> None:
    assert plan.band and plan.band.macs
    exact = Landscape(macs=plan.band.macs.middle, epochs=10, noise=0.0, wobble=0.0)
    last = rehearsed(
        replace(plan, ladder=None, trials=10_000, sampler=replace(plan.sampler, name="random")), exact
    ).last
    assert last.volume == pytest.approx(1) and last.above == pytest.approx(1)


def test_a_rung_of_fewer_images_is_refused(plan: Plan) -> None:
    with pytest.raises(ValueError, match="rungs of fewer epochs, but this ladder has rungs of fewer or smaller images"):
        rehearsed(replace(plan, ladder=Ladder(rungs=(Rung(epochs=0.2, images=0.5),))))


def test_a_rehearsal_reads_back_as_written(plan: Plan) -> None:
    one = rehearsed(plan)
    again = from_json(one.to_json())
    assert again == one and again.steps
    assert again.at(0) == FrontUpdate(0, 0.0, 0.0, 0.0) and again.at(1e9) == again.last
    for text in ("{", "[]", '{"setup": 1}'):
        with pytest.raises(ValueError, match="a rehearsal is one JSON object"):
            from_json(text)


@pytest.fixture
def recorded(tmp_path: Path) -> list[Row]:
    """A small real study, with curves of two points, and half of its specs trained with a second seed."""
    study = make_study(tmp_path, make_plan(tmp_path, PLAN, "recipe.epochs=10", "sampler.name=random"))
    with study.folder as folder:
        run_study(study, InProcess(learn))
        rows = [row for row in folder.rows() if row.kind == "search"]
    curves = [replace(row, curve=((2, {"ap": (row.final["ap"] or 0) / 2}), *row.curve)) for row in rows]
    other = {"seed": 9, "final": {"ap": 0.9}, "curve": ((2, {"ap": 0.5}), (10, {"ap": 0.9})), "seconds": 3.0}
    return curves + [replace(row, kind="repeat", **other) for row in rows[::2]]


def same(spec: DetectorSpec) -> DetectorSpec:
    return spec


def test_a_replay_gives_the_recorded_rows(recorded: list[Row], plan: Plan) -> None:
    table = RecordedTable(recorded, plan.recipe.id, 1, same)
    band = band_of(table.candidates)
    store = MemoryStore()
    plan = replace(plan, ladder=None, trials=99, sampler=replace(plan.sampler, name="random"))
    study = Study(plan=plan, unit=band.unit, band=band, folder=store, provenance=PROVENANCE)
    search(study, InProcess(Answers(table, (10,))))
    known: dict[str, set[tuple[float | None, float]]] = {}
    for row in recorded:
        known.setdefault(row.spec_id, set()).add((row.final["ap"], row.seconds))
    assert len(store.rows()) == 12 == len(known)
    assert all((row.final["ap"], row.seconds) in known[row.spec_id] for row in store.rows())
    assert all(row.cost == next(r.cost for r in recorded if r.spec_id == row.spec_id) for row in store.rows())
    assert any(row.final["ap"] == 0.9 for row in store.rows())  # the second seed of one
    assert not store.path.exists() and not os.path.lexists(store.path)


def test_a_replay_is_a_straight_line_between_what_was_recorded(recorded: list[Row], plan: Plan) -> None:
    table = RecordedTable(recorded, plan.recipe.id, 1, same)
    row = recorded[1]
    ap = row.final["ap"] or 0
    assert table.first_epoch == 2
    assert table.ap(row.spec, 0, 2) == ap / 2 and table.ap(row.spec, 0, 10) == ap
    assert table.ap(row.spec, 0, 6) == pytest.approx(0.75 * ap)
    assert table.seconds(row.spec, 0, 5) == row.seconds / 2
    twice = recorded[0].spec
    assert table.truth(twice) == pytest.approx(((recorded[0].final["ap"] or 0) + 0.9) / 2)
    assert {table.ap(twice, seed, 10) for seed in range(20)} == {recorded[0].final["ap"], 0.9}
    band = band_of(table.candidates)
    climbed = rehearse(plan, band, table, Yardstick(band, table, plan.objectives), "x")
    assert climbed.epochs < climbed.full and climbed.candidates == 12


def test_missing_cells_are_bridged_and_the_end_is_always_known(recorded: list[Row], plan: Plan) -> None:
    row = replace(recorded[1], curve=((2, {"ap": 0.1}), (4, {"ap": None}), (6, {"ap": 0.05}), (10, {"ap": None})))
    row = replace(row, final={"ap": 0.25})
    table = RecordedTable([row, replace(recorded[3], curve=())], plan.recipe.id, 1, same)
    assert [table.ap(row.spec, 0, epoch) for epoch in (2, 4, 6, 10)] == pytest.approx([0.1, 0.075, 0.05, 0.25])
    assert table.first_epoch == 10  # of the other nothing but the end is known


def test_an_equal_training_is_one_and_costs_what_it_took(recorded: list[Row], plan: Plan) -> None:
    row = recorded[1]
    copy = replace(row, ordinal=99, seconds=0.0, reason="known already")
    table = RecordedTable([copy, row], plan.recipe.id, 1, same)
    assert {table.seconds(row.spec, seed, 10) for seed in range(8)} == {row.seconds}


def test_what_was_recorded_of_a_candidate_is_not_worked_out_again(recorded: list[Row], plan: Plan) -> None:
    timed = [replace(row, cost={**row.cost, "latency": 0.01 * (1 + row.ordinal)}) for row in recorded]
    table = RecordedTable(timed, plan.recipe.id, 1, same)
    band = band_of(table.candidates)
    plan = replace(plan, ladder=None, objectives=("ap", "latency"), sampler=replace(plan.sampler, name="random"))
    yardstick = Yardstick(band, table, plan.objectives)
    assert 0 < rehearse(plan, band, table, yardstick, "x").last.volume <= 1
    assert band.unit.meter(timed[3].spec)["latency"] == 0.04


def test_a_detector_that_two_candidates_share_is_trained_once(plan: Plan) -> None:
    surrogate = Landscape(macs=1e7, epochs=10)
    spec = rehearsed_spec(plan)
    answers, place = Answers(surrogate, (2, 5, 10)), Path(os.devnull)
    for to_epoch in (2, 5, 2, 10):
        task = Task(spec=spec, recipe=plan.recipe, seed=0, to_epoch=to_epoch, folder=place)
        assert answers(task, "").curve[-1][0] == to_epoch
    assert [one.epochs for one in answers.log] == [2, 3, 0, 5]
    assert sum(one.seconds for one in answers.log) == pytest.approx(surrogate.seconds(spec, 0, 10))


def rehearsed_spec(plan: Plan) -> DetectorSpec:
    assert plan.band
    return find_band(SpecUnit(plan.space(classes=3, anchors=Anchors()), plan.band)).grid(()).members[0]


def test_a_table_without_its_recipe_is_refused(recorded: list[Row]) -> None:
    with pytest.raises(ValueError, match="needs complete search rows of the recipe 123"):
        RecordedTable(recorded, "123", 1, same)
