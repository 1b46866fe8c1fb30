"""A sample of benchmarks/step_counts.py; the whole run is committed in results/benchmarks/."""

from __future__ import annotations

from dataclasses import replace

from scalesearch.plan.recipe import Recipe
from tests.benchmarks.scripts import script
from tests.detectors import TINY


def test_a_step_on_a_gpu_waits_for_nothing() -> None:
    counts = script("step_counts")
    recipe = Recipe(epochs=3, batch=2, colour=(0.4, 0.4, 0.4, 0.1))
    found = counts.count_step(recipe, counts.images(6, TINY.size, 3), TINY, late=True)
    assert found.waits.total() == found.waits["batch"] > 0, "the loader's waits are in a stream of its own"
    assert all(found.kernels[phase] for phase in counts.PHASES if phase != "labels")


def test_more_images_take_no_more_kernels_and_an_evaluation_waits_three_times() -> None:
    counts = script("step_counts")
    recipe = Recipe(epochs=1, batch=4, mosaic=1.0, mixup=0.5)
    few, many = (counts.count_batch(replace(recipe, batch=batch), TINY.size) for batch in (4, 16))
    assert few == many > 0
    few, many = (counts.count_evaluation(counts.images(count, TINY.size, 3), TINY).waits for count in (1, 8))
    assert few.total() == many.total() == 3, "suppression, how many each image has, and the copy of all"
