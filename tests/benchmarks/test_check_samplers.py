"""A short run of benchmarks/check_samplers.py, whose whole run is committed in results/checks/samplers.txt."""

from __future__ import annotations

from types import ModuleType

import optuna
import pytest

from scalesearch.plan.sections import SamplerPlan
from scalesearch.space.find_band import find_band
from tests.benchmarks.scripts import script


@pytest.fixture(scope="module")
def checks() -> ModuleType:
    module = script("check_samplers")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return module


@pytest.mark.parametrize("case", [1, 2])
@pytest.mark.parametrize("sampler", ["tpe", "evolution"])
def test_large_spaces_with_narrow_bands(checks: ModuleType, sampler: str, case: int) -> None:
    chosen = checks.cases()[case]
    assert checks.share(chosen.unit, 1000) <= 0.015
    trials, _ = checks.search(find_band(chosen.unit), SamplerPlan(name=sampler), 15)
    assert checks.count(trials, chosen.unit.budget) == (15, 0, 0, 0)
