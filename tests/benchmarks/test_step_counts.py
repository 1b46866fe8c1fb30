"""A sample of benchmarks/step_counts.py; the whole run is committed in results/benchmarks/."""

from __future__ import annotations

from scalesearch.plan.recipe import Recipe
from tests.benchmarks.scripts import script
from tests.detectors import TINY


def test_a_step_on_a_gpu_waits_for_nothing() -> None:
    counts = script("step_counts")
    recipe = Recipe(epochs=3, batch=2, colour=(0.4, 0.4, 0.4, 0.1))
    found = counts.count_step(recipe, counts.images(6, TINY.size, 3), TINY, late=True)
    assert found.waits.total() == found.waits["batch"] > 0, "the loader's waits are in a stream of its own"
    assert all(found.kernels[phase] for phase in counts.PHASES if phase != "labels")
