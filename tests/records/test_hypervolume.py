"""Hypervolume by hand, by Optuna's own, and the order in which points are worth promoting."""

from __future__ import annotations

import numpy as np
import pytest
from optuna._hypervolume import compute_hypervolume

from scalesearch.records.hypervolume import by_gain, first_by_gain, hypervolume
from scalesearch.records.pareto import Points, ranks


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


def one_by_one(points: Points, reference: Points) -> list[int]:
    """The definition: of the remaining non-dominated points, the one of the largest hypervolume with those before it."""
    order, left = list[int](), list(range(len(points)))
    while left:
        rank = [
            i for i in left if not any((points[j] <= points[i]).all() and (points[j] < points[i]).any() for j in left)
        ]
        left, chosen = [i for i in left if i not in rank], list[int]()
        while rest := [i for i in rank if i not in chosen]:
            volumes = [float(f"{hypervolume(points[[*chosen, i]], reference):.11e}") for i in rest]
            chosen.append(min((-volume, points[i, 0], i) for volume, i in zip(volumes, rest, strict=True))[2])
        order += chosen
    return order


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_the_order_is_the_definition_s_whatever_coincides(objectives: int) -> None:
    rng = np.random.default_rng(objectives)
    for _ in range(10):
        # On a coarse grid points coincide, share a coordinate, and some lie behind the reference.
        points, reference = rng.integers(0, 7, (14, objectives)) / 7, np.full(objectives, 0.8)
        order = one_by_one(points, reference)
        assert list(by_gain(points, reference)) == order
        assert sorted(i for rank in ranks(points) for i in rank) == list(range(14))
        wanted = set(rng.choice(14, 4, replace=False).tolist())
        for count in (0, 3, 14):
            expected = next((i for i in order[:count] if i in wanted), None)
            assert first_by_gain(points, reference, count, wanted.__contains__) == expected
