"""Expected hypervolume improvement: against sampling, against expected improvement, and where it is nought."""

from __future__ import annotations

import numpy as np
import pytest

from scalesearch.records.hypervolume import hypervolume
from scalesearch.study.ehvi import ehvi, expected_improvement
from scalesearch.study.gaussian_process import Prediction


def prediction(mean: list[float], deviation: float = 0.1) -> Prediction:
    return Prediction(np.array(mean), np.full(len(mean), deviation))


def test_expected_improvement_is_that_of_a_normal_distribution() -> None:
    found = expected_improvement(prediction([0.5, 0.2, 0.9]), 0.5)
    # At the level: deviation / sqrt(2 pi); three deviations below: 0.1 * (phi(3) - 3 * Phi(-3)).
    assert found == pytest.approx([0.0398942, 0.1 * 0.000382154, 0.4 + 0.1 * 0.00000714526], rel=1e-4)


@pytest.mark.parametrize(("costs", "tolerance"), [(1, 0.02), (2, 0.08), (3, 0.15)])
def test_it_is_the_mean_improvement_of_the_hypervolume(costs: int, tolerance: float) -> None:
    rng = np.random.default_rng(costs)
    front_ap, front_costs = rng.uniform(0.2, 0.6, 5), rng.uniform(0, 1, (5, costs))
    mine, found = rng.uniform(0, 1, (4, costs)), prediction([0.3, 0.5, 0.55, 0.7])
    ends, ap = np.full(costs, 1.1), 0.25
    reference = np.array([-ap, *ends])
    before = np.column_stack([-front_ap, front_costs])
    expected = []
    for i in range(4):
        sampled = rng.normal(found.mean[i], found.deviation[i], 2000)
        volumes = [hypervolume(np.vstack([before, [-y, *mine[i]]]), reference) for y in sampled]
        expected.append(np.mean(volumes) - hypervolume(before, reference))
    assert ehvi(found, mine, front_ap, front_costs, ap, ends) == pytest.approx(expected, rel=tolerance, abs=2e-3)


def test_without_costs_it_is_expected_improvement() -> None:
    found, none = prediction([0.3, 0.6]), np.zeros((2, 0))
    gains = ehvi(found, none, np.array([0.4, 0.5]), none, 0.1, np.zeros(0))
    assert gains == pytest.approx(expected_improvement(found, 0.5))


def test_of_two_alike_the_cheaper_gains_more_and_a_certainly_dominated_one_nothing() -> None:
    found = prediction([0.5, 0.5, 0.5, 0.2], deviation=1e-3)
    gains = ehvi(
        found, np.array([[0.2], [0.6], [1.5], [0.7]]), np.array([0.4]), np.array([[0.5]]), 0.1, np.array([1.0])
    )
    assert gains[0] > gains[1] > 0 and gains[2] == gains[3] == 0
    # The cheapest adds 0.3 of cost from the reference AP, and 0.5 of cost above the known one.
    assert gains[0] == pytest.approx(0.3 * 0.4 + 0.5 * 0.1, rel=1e-3)
