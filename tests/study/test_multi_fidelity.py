"""The model of the AP at every rung: its slope, what it makes of a lucky seed, and what it learns from stopped trials."""

from __future__ import annotations

import numpy as np
import pytest

from scalesearch.study.gaussian_process import predict
from scalesearch.study.multi_fidelity import Scores, _Loss, _prior, predict_final

GROUPS = np.array([0, 0, 1])
SHARES = (0.4, 0.75, 1.0)


def curves(
    count: int, whole: int, second: int, luck: float, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Scores]:
    """Places, true final APs, sizes and scores of trials; `whole` came to the end, `second` at least to rung 1.

    The AP at a rung is a share of the true one, and a seed is as lucky at the end as all along its curve.
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 3))
    truth = 0.4 + 0.04 * np.sin(x[:, 0]) + 0.03 * x[:, 2]
    lucky, size = luck * rng.normal(size=count), rng.normal(size=count)
    items = [
        (i, rung, share * truth[i] + lucky[i] + 0.002 * rng.normal())
        for i in range(count)
        for rung, share in enumerate(SHARES[: 3 if i < whole else 2 if i < second else 1])
    ]
    trial, rung, ap = zip(*items, strict=True)
    return x, truth, size, Scores(np.array(trial), np.array(rung), np.array(ap))


def test_the_slope_of_the_loss_is_that_of_differences() -> None:
    x, _, size, scores = curves(12, 4, 7, 0.02)
    mean, width, _ = _prior(np.array([0.4, 0.7]), 2)
    loss = _Loss(x, size, scores, GROUPS, mean, width)
    at = mean + 0.3 * np.random.default_rng(1).normal(size=len(mean))
    value, slope = loss(at)
    steps = 1e-5 * np.eye(len(at))
    by_difference = [(loss(at + step)[0] - loss(at - step)[0]) / 2e-5 for step in steps]
    assert np.isfinite(value) and slope == pytest.approx(by_difference, rel=1e-4, abs=1e-5)


def test_stopped_trials_tell_of_the_end() -> None:
    x, truth, size, scores = curves(60, 10, 25, 0.0)
    top = scores.rung == 2
    alone = predict(x[:10], scores.ap[top], GROUPS, x[10:]).wanted
    found = predict_final(x, size, scores, GROUPS, x[10:]).wanted
    off, off_alone = (np.abs(one.mean - truth[10:]).mean() for one in (found, alone))
    assert off < 0.6 * off_alone and found.deviation.mean() < alone.deviation.mean()


def test_the_luck_that_a_seed_keeps_is_told_from_the_candidate() -> None:
    x, truth, size, scores = curves(60, 20, 60, 0.03)
    mine = np.arange(20, 60)  # stopped at rung 1
    last = np.array([scores.ap[(scores.trial == i) & (scores.rung == 1)][0] for i in mine])
    found = predict_final(x, size, scores, GROUPS, x[mine])
    assert np.corrcoef(found.wanted.mean, truth[mine])[0, 1] > 0.9 > np.corrcoef(last, truth[mine])[0, 1]
    assert found.observed[mine] == pytest.approx(found.wanted.mean)


def test_units_of_ap_do_not_matter() -> None:
    x, _, size, scores = curves(20, 5, 9, 0.01)
    one = predict_final(x, size, scores, GROUPS, x[:3]).wanted
    other = predict_final(x, size, scores._replace(ap=100 * scores.ap), GROUPS, x[:3]).wanted
    assert other.mean == pytest.approx(100 * one.mean) and other.deviation == pytest.approx(100 * one.deviation)


@pytest.mark.parametrize("whole", [0, 1])
def test_before_many_have_come_to_the_end(whole: int) -> None:
    x, _, size, scores = curves(6, whole, 3, 0.01)
    found = predict_final(x, size, scores, GROUPS, x)
    assert np.isfinite(found.wanted.mean).all() and (found.wanted.deviation > 0).all()


def test_equal_scores_are_no_hindrance() -> None:
    x, _, size, scores = curves(8, 3, 5, 0.01)
    found = predict_final(x, size, scores._replace(ap=np.zeros(len(scores.ap))), GROUPS, x)
    assert found.wanted.mean == pytest.approx(np.zeros(8), abs=1e-9)
