"""The contract of every sampler: inside the band, unseen, and a pure function of (seed, ordinal, trials)."""

from __future__ import annotations

from pathlib import Path

import pytest

from scalesearch.execute.executor import InProcess
from scalesearch.plan.sections import SAMPLERS, SamplerPlan
from scalesearch.space.band import EmptyBandError
from scalesearch.space.candidates import inside
from scalesearch.study.driver import search
from scalesearch.study.propose import propose
from scalesearch.study.study import Study
from tests.studies import PLAN, make_plan, make_study
from tests.trainings import learn


def run(folder: Path, sampler: str, trials: int, seed: int = 0) -> Study:
    folder.mkdir(exist_ok=True)
    text = PLAN.replace("{name: tpe, startup: 4}", f"{{name: {sampler}, startup: 4}}")
    study = make_study(folder, make_plan(folder, text, f"trials={trials}", f"seed={seed}"))
    search(study, InProcess(learn))
    return study


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_candidate_is_inside_the_band_and_new(tmp_path: Path, sampler: str) -> None:
    study = run(tmp_path, sampler, trials=20)
    trials = study.trials()
    assert [trial.ordinal for trial in trials] == list(range(20))
    assert len({trial.key for trial in trials}) == 20
    assert study.plan.band is not None
    assert all(inside(study.unit, study.unit.solve(trial.point)) for trial in trials)
    start = {"grid": 0, "random": 20, "qmc": 0, "nsga2": 16}.get(sampler, 4)
    assert [trial.proposed_by for trial in trials] == ["random"] * start + [sampler] * (20 - start)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_proposal_is_a_pure_function(tmp_path: Path, sampler: str) -> None:
    study = run(tmp_path, sampler, trials=18)
    trials, plan = study.trials(), SamplerPlan(name=sampler, startup=4)
    for ordinal in (17, 3, 5, 16):
        asked = propose(study.band, plan, ["ap", "macs"], 0, ordinal, trials[:ordinal])
        assert asked.candidate.key == trials[ordinal].key


def test_the_seed_and_the_trials_matter(tmp_path: Path) -> None:
    for sampler in set(SAMPLERS) - {"grid"}:
        keys = [[t.key for t in run(tmp_path / f"{sampler}{seed}", sampler, 8, seed).trials()] for seed in (0, 1)]
        assert keys[0] != keys[1]


def test_grid_is_the_order_of_the_axes_and_ends(tmp_path: Path) -> None:
    study = run(tmp_path, "grid", trials=1000)
    points = [tuple(trial.point.values()) for trial in study.trials()]
    assert len(points) == 73
    orders = {"topology": ["fpn", "panet", "bifpn"], "size": [64, 96, 128]}
    ranks = [(orders["topology"].index(str(p[0])), *p[1:]) for p in points]
    assert ranks == sorted(ranks)
    with pytest.raises(EmptyBandError):
        propose(study.band, SamplerPlan(name="grid"), ["ap"], 0, 1000, study.trials())


def test_tpe_finds_better_candidates_than_its_random_start(tmp_path: Path) -> None:
    gains = []
    for seed in range(5):
        trials = run(tmp_path / str(seed), "tpe", 16, seed).trials()
        start = [t.value("ap") for t in trials if t.proposed_by == "random"]
        asked = [t.value("ap") for t in trials if t.proposed_by == "tpe"]
        gains.append(sum(asked) / len(asked) - sum(start) / len(start))
    assert sum(gains) / len(gains) > 0
