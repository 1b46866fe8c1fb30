"""Bayesian optimization with exact costs on bands of every kind, and with several workers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.price import price
from scalesearch.execute.executor import InProcess
from scalesearch.plan.sections import SamplerPlan
from scalesearch.records.trials import Trial
from scalesearch.space import find_band as finding
from scalesearch.space.band import Band
from scalesearch.space.candidates import inside
from scalesearch.space.enumerated import EnumeratedBand, PricedBand
from scalesearch.space.find_band import find_band
from scalesearch.study.driver import search
from scalesearch.study.propose import propose
from tests.studies import FAMILY, learn, make_plan, make_study
from tests.study.test_samplers import BOTH, numbers_band, trial

PLAN = SamplerPlan(name="ehvi", startup=4)


def ap(spec: DetectorSpec) -> float:
    """A smooth score: more for cost, with a best width for the size."""
    off = math.log(spec.width * 4 / max(spec.size))
    return 0.3 + 0.05 * math.log(price(spec).macs / 1e6) - 0.1 * off**2


def searched(band: Band, count: int) -> list[Trial]:
    trials: list[Trial] = []
    for ordinal in range(count):
        candidate = propose(band, PLAN, BOTH, 0, ordinal, trials).candidate
        trials.append(trial(ordinal, candidate, ap(candidate.members[0])))
    return trials


def test_it_finds_what_is_best_for_each_cost() -> None:
    band = numbers_band()
    assert isinstance(band, EnumeratedBand)
    trials = searched(band, 14)
    best = max(ap(candidate.members[0]) for candidate in band.candidates)
    assert max(t.value("ap") for t in trials) > best - 0.005
    rng, seen = np.random.default_rng(0), set[tuple[str, ...]]()
    drawn = [ap(band.draw(seen, rng).members[0]) for _ in range(14)]
    assert np.mean([t.value("ap") for t in trials[4:]]) > np.mean(drawn)


def test_many_priced_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "ONE_BY_ONE", 10)
    band = find_band(numbers_band().unit)
    assert isinstance(band, PricedBand)
    trials = searched(band, 10)
    assert len({t.key for t in trials}) == 10
    assert all(inside(band.unit, band.unit.solve(t.point)) for t in trials)


def test_a_point_in_training_is_not_asked_for_again_nor_are_its_twins() -> None:
    band = numbers_band()
    trials = searched(band, 10)
    first = propose(band, PLAN, BOTH, 0, 10, trials).candidate
    second = propose(band, PLAN, BOTH, 0, 10, trials, taken=[first.key], pending=[first.point]).candidate
    blind = propose(band, PLAN, BOTH, 0, 10, trials, taken=[first.key]).candidate
    assert second.key not in {first.key, *(t.key for t in trials)}
    costs = [math.log(one.costs[0]["macs"]) for one in (first, second, blind)]
    # Its expected AP counts as had, so what it would dominate is worth less: the next one is no nearer in cost.
    assert abs(costs[1] - costs[0]) >= abs(costs[2] - costs[0])


def test_families(tmp_path: Path) -> None:
    text = FAMILY.replace("{name: grid}", "{name: ehvi, startup: 2}")
    study = make_study(tmp_path, make_plan(tmp_path, text))
    search(study, InProcess(learn))
    trials = study.trials()
    assert [t.proposed_by for t in trials] == ["random"] * 2 + ["ehvi"] * 2 and len({t.key for t in trials}) == 4
    assert all(len(t.rows) == 2 and inside(study.unit, study.unit.solve(t.point)) for t in trials)
