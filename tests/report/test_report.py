"""The report is a pure function of plan and rows; its numbers are the rows'."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from scalesearch.records.folder import read_rows
from scalesearch.report.facts import gather
from scalesearch.report.page import page
from scalesearch.report.write import write_report
from scalesearch.search.driver import run
from scalesearch.search.executor import InProcess
from scalesearch.search.study import Study
from tests.search.conftest import FAMILY, PLAN, learn, make_plan, make_study


@pytest.fixture(params=[PLAN, FAMILY], ids=["spec", "family"])
def done(request: pytest.FixtureRequest, tmp_path: Path) -> Study:
    """A finished study of detectors, or of families."""
    study = make_study(tmp_path, make_plan(tmp_path, request.param))
    run(study, InProcess(learn), lambda text: None)
    study.folder.close()
    return study


def test_tables_hold_every_trial_and_the_front_is_its_best(done: Study) -> None:
    folder = done.folder.path
    write_report(folder, done.plan, read_rows(folder))
    trials, front = pd.read_csv(folder / "trials.csv"), pd.read_csv(folder / "front.csv")
    assert list(trials["number"]) == [trial.ordinal for trial in done.trials()]
    assert trials["values_ap"].max() == pytest.approx(front["values_ap"].max())
    for _, line in front.iterrows():
        better = trials[trials["values_ap"] > line["values_ap"]]
        if "macs" in done.plan.objectives:
            assert (better["values_macs"] > line["values_macs"]).all()
        else:
            assert better.empty


def test_the_page_names_its_splits_and_has_the_noise(done: Study) -> None:
    facts = gather(done.plan, done.folder.rows())
    text = page(facts, "front.png")
    assert "every number here is on **c**" in text and "on **b**, trained on a" in text
    if done.plan.family is None:
        # The toy's seeds differ by exactly 0.01: two of them have a standard deviation of 0.01 / sqrt(2).
        assert facts.seeds == pytest.approx(0.01 / 2**0.5)
        assert "standard deviation of **0.007**" in text
        assert "| random inside the band | 4 |" in text and "| the sampler | 8 |" in text
        assert "plain (topology fpn" in text


def test_a_latency_says_what_predicts_it_and_what_was_not_confirmed(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, PLAN, "trials=4", "latency={table: t.json, timings: 'predicted for a CPU; error 4%'}")
    study = replace(make_study(tmp_path, plan), confirm=lambda spec, band: "slow" if spec.width > 16 else "")
    run(study, InProcess(learn), lambda text: None)
    outside = sum(trial.rows[0].outside for trial in study.trials())
    text = page(gather(study.plan, study.folder.rows()), "x")
    assert outside and "Latency is predicted for a CPU; error 4%." in text
    assert f" {outside} of the candidates measured outside the band before training, and were not trained." in text


def test_selection_on_val_is_marked(tmp_path: Path) -> None:
    study = make_study(tmp_path, make_plan(tmp_path, PLAN, "data.select=val", "trials=2"))
    run(study, InProcess(learn), lambda text: None)
    assert "Selection and reporting used the same images" in page(gather(study.plan, study.folder.rows()), "x")


def test_the_picture_is_drawn_for_no_rows_and_for_all(done: Study, tmp_path: Path) -> None:
    path = write_report(tmp_path, done.plan, ())
    assert path.read_text().startswith("# toy") and (tmp_path / "front.png").stat().st_size > 5_000
    empty = (tmp_path / "front.png").read_bytes()
    write_report(tmp_path, done.plan, done.folder.rows())
    assert (tmp_path / "front.png").read_bytes() != empty
