"""Hypervolume by hand, by Optuna's own, and the order in which points are worth promoting."""

from __future__ import annotations

import numpy as np
import pytest
from optuna._hypervolume import compute_hypervolume

from scalesearch.records.hypervolume import by_gain, hypervolume


def test_by_hand() -> None:
    stairs = np.array([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]])
    assert hypervolume(stairs, np.array([3.0, 3.0])) == 3 + 2 + 1
    assert hypervolume(stairs[:1], np.array([3.0, 3.0])) == 3
    assert hypervolume(np.array([[1.0], [0.5]]), np.array([2.0])) == 1.5
    cubes = np.array([[0.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    assert hypervolume(cubes, np.array([2.0, 2.0, 2.0])) == 4 + 1


def test_points_at_or_behind_the_reference_add_nothing() -> None:
    assert hypervolume(np.array([[1.0, 0.0], [5.0, -5.0]]), np.array([1.0, 1.0])) == 0
    assert hypervolume(np.empty((0, 2)), np.array([1.0, 1.0])) == 0


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_as_optuna(objectives: int) -> None:
    rng = np.random.default_rng(objectives)
    for _ in range(20):
        points, reference = rng.random((12, objectives)), np.full(objectives, 0.9)
        inside = points[(points < reference).all(axis=1)]
        expected = compute_hypervolume(inside, reference) if len(inside) else 0.0
        assert hypervolume(points, reference) == pytest.approx(expected)


def test_the_order_is_by_rank_then_by_what_is_added() -> None:
    points = np.array([[0.0, 3.0], [3.0, 0.0], [1.0, 1.0], [2.0, 2.0], [3.5, 3.5], [1.0, 1.0]])
    order = list(by_gain(points, np.array([4.0, 4.0])))
    assert order[0] == 2  # the largest box
    assert set(order[:4]) == {0, 1, 2, 5}  # the first rank, an equal point in it
    assert order[4:] == [3, 4]
