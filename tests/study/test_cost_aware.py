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
from scalesearch.study import final_ap
from scalesearch.study.driver import search
from scalesearch.study.propose import promotion_gains, propose
from tests.studies import FAMILY, make_plan, make_study
from tests.study.test_samplers import BOTH, numbers_band, trial
from tests.trainings import learn

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


def climbed(band: Band, count: int) -> list[Trial]:
    """Trials on a ladder of three rungs: of three, one is whole, one was stopped at the second rung, one at the first."""
    rng, seen, trials = np.random.default_rng(3), set[tuple[str, ...]](), list[Trial]()
    for ordinal in range(count):
        candidate = band.draw(seen, rng)
        seen.add(candidate.key)
        curve = [share * ap(candidate.members[0]) for share in (0.4, 0.7, 1.0)][: 3 - ordinal % 3]
        state = "complete" if len(curve) == 3 else "stopped"
        trials.append(trial(ordinal, candidate, *curve, state=state, epochs=3))
    return trials


def test_on_a_ladder_the_rungs_tell_who_goes_on() -> None:
    band = numbers_band()
    trials = climbed(band, 18)
    gains = promotion_gains(band, PLAN, BOTH, trials)
    waiting = [t for t in trials if t.epochs_done == 2]
    assert gains is not None and (found := gains(waiting, [t for t in trials if t.complete])) is not None
    # With AP alone, the best is the one with the highest AP at the rung: nothing is noisy here.
    by_ap = promotion_gains(band, PLAN, ["ap"], trials)
    assert by_ap is not None and (alone := by_ap(waiting, [])) is not None
    last = [t.aps[2] for t in waiting]
    assert alone.index(max(alone)) == last.index(max(last)) and len(found) == len(waiting) and min(found) >= 0
    assert promotion_gains(band, PLAN, BOTH, trials[:3]) is None  # the random start
    assert promotion_gains(band, SamplerPlan(name="tpe", startup=4), BOTH, trials) is None


def test_what_is_proposed_on_a_ladder() -> None:
    band, plan = numbers_band(), PLAN
    trials = climbed(band, 18)
    first = propose(band, plan, BOTH, 0, 18, trials).candidate
    assert first.key not in {t.key for t in trials} and inside(band.unit, first)
    second = propose(band, plan, BOTH, 0, 18, trials, taken=[first.key], pending=[first.point]).candidate
    assert second.key not in {first.key, *(t.key for t in trials)}


def test_of_very_many_scores_those_of_the_farthest_and_latest_are_observed(monkeypatch: pytest.MonkeyPatch) -> None:
    trials = climbed(numbers_band(), 9)  # 18 scores
    monkeypatch.setattr(final_ap, "_MOST_SCORES", 15)
    scores = final_ap.rung_scores(trials)
    assert scores.trial.tolist() == [0, 0, 0, 1, 1, 3, 3, 3, 4, 4, 6, 6, 6, 7, 7]
    monkeypatch.setattr(final_ap, "_MOST_SCORES", 17)
    assert {2, 5, 8} & set(final_ap.rung_scores(trials).trial.tolist()) == {5, 8}
    assert scores.rung.tolist() == [0, 1, 2, 0, 1] * 3


def test_families_on_a_ladder(tmp_path: Path) -> None:
    text = FAMILY.replace("{name: grid}", "{name: ehvi, startup: 1}") + "ladder: {rungs: [0.5], keep: 0.5}\n"
    study = make_study(tmp_path, make_plan(tmp_path, text, "recipe.epochs=2"))
    search(study, InProcess(learn))
    assert [t.complete for t in study.trials()].count(True) == 2
