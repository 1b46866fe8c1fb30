"""The posterior with candidates in training: scikit-learn's, and no candidate is missed for its bound."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor

from scalesearch.study import believer, cost_aware, gaussian_process
from scalesearch.study.believer import Believer
from scalesearch.study.ehvi import ehvi
from scalesearch.study.gaussian_process import Prediction

GROUPS = np.array([0, 1, 1, 2])


def problem(n: int = 40, busy: int = 12, wanted: int = 700) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x, out, pool = (rng.random((count, 4)) for count in (n, busy, wanted))
    return x, np.sin(3 * x[:, 0]) + x[:, 1] + 0.1 * rng.standard_normal(n), out, pool


def test_it_is_the_posterior_that_scikit_learn_has_of_what_is_believed() -> None:
    x, ap, busy, wanted = problem()
    every = list(range(len(x)))
    found = Believer(x, ap, GROUPS, busy, wanted, every)
    found.believe(np.arange(5))
    theta = gaussian_process.hyperparameters(x, ap, GROUPS)

    def model(x: np.ndarray, y: np.ndarray) -> GaussianProcessRegressor:
        kernel = gaussian_process._kernel(GROUPS, theta)
        return GaussianProcessRegressor(kernel, optimizer=None).fit(x, (y - ap.mean()) / ap.std())

    believed = ap.mean() + ap.std() * model(x, ap).predict(busy)
    both = model(np.concatenate([x, busy]), np.concatenate([ap, believed]))
    mean, deviation = both.predict(wanted, return_std=True)
    latent = np.sqrt(deviation**2 - math.exp(theta[-1])) * ap.std()
    assert found.mean == pytest.approx(ap.mean() + ap.std() * mean, abs=1e-6)
    assert found.deviations(np.arange(700)) == pytest.approx(latent, rel=1e-5)
    assert found.known == pytest.approx(ap.mean() + ap.std() * both.predict(np.concatenate([x, busy])), abs=1e-6)
    assert (found.bound >= latent - 1e-9).all()


@pytest.mark.parametrize("most", [256, 4])
def test_the_best_is_found_though_few_are_computed_exactly(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(cost_aware, "_CHUNK", 20)
    monkeypatch.setattr(believer, "_FIRST", 16)
    monkeypatch.setattr(believer, "_BELIEVED", most)
    x, ap, busy, wanted = problem()
    costs, known = wanted[:, :1], np.concatenate([x[:, :1], busy[:, :1]])
    ends = np.array([1.1])
    counted: list[int] = []

    class Counted(Believer):
        def deviations(self, rows: np.ndarray) -> np.ndarray:
            counted.append(len(rows))
            return super().deviations(rows)

    posterior = Counted(x, ap, GROUPS, busy, wanted, list(range(40)))
    best = cost_aware._best(posterior, costs, known, ends)
    assert 0 < sum(counted) < 350
    level = float(np.quantile(posterior.known, 0.5))
    every = Prediction(posterior.mean, posterior.deviations(np.arange(700)))
    assert best == int(np.argmax(ehvi(every, costs, posterior.known, known, level, ends)))


def test_those_that_come_late_change_few_of_those_fitted_to() -> None:
    told = [i for i in range(1000) if i % 17]
    more = sorted({*told, *range(0, 1000, 34)})
    first, second = ([some[i] for i in cost_aware._fitted(some)] for some in (told, more))
    assert set(first) <= set(second) and 100 < len(first) < len(second) < len(first) + 8
    assert cost_aware._fitted([3, 5]) == [0, 1]
