"""How many trainings share a GPU, by arithmetic: no GPU needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from scalesearch.app.gpu_workers import dearest, fill_gpus, workers_per_gpu
from scalesearch.app.workers import HERE, Engine, Where
from scalesearch.cost.memory import TrainingSettings, training_memory
from tests.studies import FAMILY, PLAN, make_plan, make_study

GIB = 2**30
SMALL, LARGE = 6 * 100e6 * 16, 6 * 50e9 * 16
"""Operations of a step with 16 images: of a candidate of 100 M multiply-adds, and of one of 50 B."""


@pytest.mark.parametrize(
    ("needed", "step", "memory", "processors", "found"),
    [
        (2 * GIB, SMALL, 80 * GIB, 32, 8),  # all that are of use
        (2 * GIB, SMALL, 24 * GIB, 32, 5),  # by memory: 21.6 of 4 each
        (2 * GIB, SMALL, 80 * GIB, 6, 3),  # by processors
        (20 * GIB, SMALL, 24 * GIB, 32, 1),
        (100 * GIB, SMALL, 24 * GIB, 32, 1),  # too large: its training will say so
        (2 * GIB, LARGE, 80 * GIB, 32, 2),  # its kernels are long: one more fills what is left
        (2 * GIB, 6 * 2.5e9 * 16, 80 * GIB, 32, 2),  # D0
        (2 * GIB, 6 * 1e9 * 16, 80 * GIB, 32, 4),
        (2 * GIB, SMALL, 80 * GIB, 1, 1),
    ],
)
def test_as_many_as_fit_and_are_of_use(needed: int, step: float, memory: int, processors: int, found: int) -> None:
    assert workers_per_gpu(needed, step, memory=memory, processors=processors) == found


def test_more_memory_or_smaller_candidates_never_give_fewer() -> None:
    by_memory = [workers_per_gpu(3 * GIB, SMALL, memory=size * GIB, processors=64) for size in range(1, 100)]
    by_size = [workers_per_gpu(GIB, 10.0**power, memory=80 * GIB, processors=64) for power in range(14, 6, -1)]
    assert by_memory == sorted(by_memory) and by_size == sorted(by_size) and set(by_size) <= set(range(2, 9))


@pytest.mark.parametrize("text", [PLAN, FAMILY], ids=["spec", "family"])
def test_the_dearest_is_of_the_band_by_either_recipe(tmp_path: Path, text: str) -> None:
    plan = make_plan(tmp_path, text + "recipe: {batch: 4}\n", "winners.recipe={batch: 32, optimizer: sgd}")
    band = make_study(tmp_path, plan).band
    needed, step = dearest(band, plan)
    members = band.grid(()).members
    by_winners = TrainingSettings(batch=32, optimizer="sgd")
    assert needed >= max(training_memory(spec, by_winners) for spec in members)
    assert 6 * 4e6 * 4 <= step <= 6 * 16e6 * 4
    assert dearest(band, plan) == (needed, step), "the same each time"


def test_a_number_that_was_asked_for_stays(tmp_path: Path) -> None:
    engine = Engine(workers=3, threads=2)
    plan = make_plan(tmp_path)
    band = make_study(tmp_path, plan).band
    for asked, where in ((plan, Where(workers=3)), (make_plan(tmp_path, PLAN + "workers: 3\n"), HERE)):
        assert fill_gpus(engine, asked, where, band) is engine
