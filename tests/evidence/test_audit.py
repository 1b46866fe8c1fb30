"""Audits of proxies that were made good, bad, noisy, and quick to learn; the statistics of each part have tests of their own."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest

from scalesearch.evidence.audit import (
    ALL,
    AP,
    BEYOND_COST,
    LOSS,
    AuditedCandidate,
    AuditedTraining,
    ProxyComparison,
    audit,
)
from scalesearch.evidence.noise import noise_floor
from scalesearch.evidence.verdict import Verdict, verdict

EARLY, END = 2, 10


def compared(
    *,
    count: int = 40,
    seeds: int = 3,
    spread: float = 0.06,
    noise: float = 0.01,
    pace: float = 0.0,
    reverse: bool = False,
    unit: float = 1.0,
) -> ProxyComparison:
    """AP (truth) * learned + noise, with learned = 1 - exp(-epoch / 10 / pace), in units of `unit`."""
    rng = np.random.default_rng(5)
    truth = 0.4 + spread * rng.standard_normal(count)
    paces = 0.3 * np.exp(pace * rng.standard_normal(count))
    candidates = []
    for i in range(count):
        runs, whole = [], []
        for seed in range(seeds):
            early = (0.8 - truth[i] if reverse else truth[i]) * (1 - np.exp(-EARLY / END / paces[i]))
            luck = noise * rng.standard_normal(2)
            aps = {EARLY: unit * (early + luck[0]), END: unit * (truth[i] + luck[1])}
            runs.append(AuditedTraining(seed=seed, aps=aps, loss_sums={EARLY: 3 - early}))
            whole.append(aps[END])
        free = {"macs": 1e9 * (1 + i % 7), "constant": 1.0}
        candidates.append(AuditedCandidate(name=f"c{i}", short=tuple(runs), full=tuple(whole), free=free))
    return ProxyComparison(
        short="short",
        full="full",
        candidates=tuple(candidates),
        epochs=END,
        within=True,
        noise=noise_floor(one.full for one in candidates),
        cost="macs",
    )


@cache
def said(**how: float) -> Verdict:
    return verdict(audit(compared(**how)))  # type: ignore[arg-type]


def test_a_good_proxy_is_trusted_from_its_first_good_epoch() -> None:
    found = said()
    assert (found.trust, found.from_epochs, found.measures_speed) == ("trusted", EARLY, False)
    assert found.sentences[0].startswith(
        "The proxy can be trusted here from 2 of 10 epochs on: Kendall's tau with the full"
    )
    assert "one more full training would have" in found.sentences[0]


def test_a_proxy_made_to_rank_wrongly_is_flagged() -> None:
    found = said(reverse=True)
    assert (found.trust, found.from_epochs) == ("untrusted", None)
    assert found.sentences[0].startswith("The proxy cannot be trusted here")


def test_a_proxy_that_shows_the_pace_is_said_to_measure_the_speed_of_learning() -> None:
    found = said(pace=1.0, spread=0.04)
    assert found.measures_speed and found.trust != "trusted"
    (speed,) = [text for text in found.sentences if "speed of learning" in text]
    assert "candidates move by more ranks than noise explains" in speed


def test_candidates_of_one_true_ap_cannot_be_ranked() -> None:
    found = said(spread=0.0)
    assert found.trust == "noise" and found.sentences[0].endswith("Repeat seeds.")


def test_few_candidates_leave_it_open_or_unknown() -> None:
    assert said(count=8).trust == "open"
    assert said(count=4).sentences == (
        "4 candidates trained both ways are too few for a rank correlation, which needs 5.",
    )


def test_without_repeated_seeds_there_is_no_ceiling_and_no_noise() -> None:
    found = audit(compared(seeds=1))
    assert not found.ceilings and not found.other_seeds
    assert "its ceiling is unknown" in verdict(found).sentences[0]
    assert audit(compared(seeds=2)).other_seeds


def test_predictors_scopes_and_units() -> None:
    """Losses as good as the AP that they mirror; constants are no predictors; the unit of AP changes no order."""
    found = audit(compared())
    assert [(one.name, one.epochs) for one in found.predictors] == [(AP, EARLY), (LOSS, EARLY), ("macs", 0)]
    ap, loss, macs = found.predictors
    assert loss.over[ALL].kendall.value >= ap.over[ALL].kendall.value - 0.05
    assert BEYOND_COST in ap.over and BEYOND_COST not in macs.over
    hundred = audit(compared(unit=100.0)).predictors[0]
    assert hundred.over[ALL].kendall == pytest.approx(ap.over[ALL].kendall, rel=1e-9)
    assert hundred.regret == pytest.approx(100 * ap.regret)


def test_the_same_numbers_give_the_same_audit_whatever_the_names() -> None:
    one = compared(count=12)
    renamed = dataclasses.replace(
        one, candidates=tuple(dataclasses.replace(other, name="x" + other.name) for other in one.candidates)
    )
    assert audit(one).predictors == audit(renamed).predictors
    assert audit(one).ceilings == audit(renamed).ceilings
