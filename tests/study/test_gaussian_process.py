"""The Gaussian process of AP: its kernel, its noise, and what it knows far from and at its observations."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import Matern

from scalesearch.study.gaussian_process import GroupedMatern, predict

ALONE = np.array([0, 1])


def places(count: int, seed: int = 0, columns: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, columns))


def test_the_kernel_is_scikit_learns_matern_where_each_group_is_one_column() -> None:
    x, y, scale = places(9), places(4, 1), np.array([0.7, 2.0])
    ours, theirs = GroupedMatern(scale, ALONE), Matern(scale, nu=2.5)
    assert ours(x, y) == pytest.approx(theirs(x, y))
    kernel, gradient = ours(x, eval_gradient=True)
    expected, slope = theirs(x, eval_gradient=True)
    assert kernel == pytest.approx(expected) and gradient == pytest.approx(slope)


def test_the_gradient_of_a_shared_length_scale_is_the_sum_of_its_columns() -> None:
    x = places(8, columns=3)
    _, grouped = GroupedMatern(np.array([0.7, 2.0]), np.array([0, 0, 1]))(x, eval_gradient=True)
    _, single = GroupedMatern(np.array([0.7, 0.7, 2.0]), np.array([0, 1, 2]))(x, eval_gradient=True)
    assert grouped[..., 0] == pytest.approx(single[..., 0] + single[..., 1])
    assert grouped[..., 1] == pytest.approx(single[..., 2])


def test_a_smooth_function_is_learned_and_doubted_far_away() -> None:
    x = places(60)
    y = np.sin(x[:, 0]) + 0.3 * x[:, 1]
    asked = places(40, 1)
    found = predict(x, y, ALONE, asked).wanted
    truth = np.sin(asked[:, 0]) + 0.3 * asked[:, 1]
    assert np.abs(found.mean - truth).mean() < 0.1 * truth.std()
    away = predict(x, y, ALONE, np.full((1, 2), 50.0)).wanted
    assert away.deviation[0] > 5 * found.deviation.mean()
    assert away.mean[0] == pytest.approx(y.mean(), abs=0.05)


def test_noise_is_told_from_the_landscape() -> None:
    rng, x = np.random.default_rng(0), places(40)
    truth = np.sin(x[:, 0])
    y = truth + 0.5 * rng.normal(size=40)
    found, known = predict(x, y, ALONE, x)
    assert known == pytest.approx(found.mean)
    # The mean is nearer to the truth than the observations are, and the doubt about it is less than the noise.
    assert np.abs(found.mean - truth).mean() < 0.6 * np.abs(y - truth).mean()
    assert found.deviation.mean() < 0.4


@pytest.mark.parametrize("y", [np.zeros(5), np.array([0.3])])
def test_equal_observations_are_no_hindrance(y: np.ndarray) -> None:
    found = predict(places(len(y)), y, ALONE, places(3, 1)).wanted
    assert found.mean == pytest.approx(y.mean()) and np.isfinite(found.deviation).all()


def test_a_place_may_be_observed_twice() -> None:
    x = np.repeat(places(6), 2, axis=0)
    y = np.tile([0.2, 0.4], 6)
    assert predict(x, y, ALONE, x).observed == pytest.approx(0.3, abs=1e-6)


def test_units_of_ap_do_not_matter() -> None:
    x, asked = places(20), places(10, 1)
    y = x[:, 0] ** 2
    one, other = predict(x, y, ALONE, asked).wanted, predict(x, 100 * y + 7, ALONE, asked).wanted
    assert other.mean == pytest.approx(100 * one.mean + 7) and other.deviation == pytest.approx(100 * one.deviation)
