"""The report is a pure function of plan and rows; its numbers are the rows'."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from scalesearch.execute.executor import InProcess
from scalesearch.plan.task import Outcome, Task
from scalesearch.records.folder import read_rows
from scalesearch.report.facts import gather
from scalesearch.report.front_plot import draw_front
from scalesearch.report.page import page
from scalesearch.report.write import write_report
from scalesearch.study.driver import run_study
from scalesearch.study.pending import failure
from scalesearch.study.study import Study
from tests.studies import FAMILY, PLAN, make_latency_study, make_plan, make_study
from tests.trainings import learn, measure


@pytest.fixture(params=[PLAN, FAMILY], ids=["spec", "family"])
def done(request: pytest.FixtureRequest, tmp_path: Path) -> Study:
    """A finished study of detectors, or of families."""
    study = make_study(tmp_path, make_plan(tmp_path, request.param))
    run_study(study, InProcess(learn))
    study.folder.close()
    return study


def test_tables_hold_every_trial_and_the_front_is_its_best(done: Study) -> None:
    folder = done.folder.path
    write_report(folder, gather(done.plan, read_rows(folder)))
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
        assert "standard deviation of AP is **0.007**" in text
        assert "| random inside the band | 4 |" in text and "| the sampler | 8 |" in text
        assert "plain (topology fpn" in text


def test_a_latency_says_what_predicts_it_and_what_was_not_confirmed(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, PLAN, "trials=4", "latency={table: t.json, timings: 'predicted for a CPU; error 4%'}")
    study = make_latency_study(tmp_path, plan)
    run_study(study, InProcess(lambda task, label: measure(task) if task.latency else learn(task, label)))
    outside = sum(trial.rows[0].outside for trial in study.trials())
    text = page(gather(study.plan, study.folder.rows()), "x")
    assert outside and "Latency is predicted for a CPU; error 4%." in text
    assert f" {outside} of the candidates were measured outside the band before training, and not trained." in text


def test_selection_on_val_is_marked(tmp_path: Path) -> None:
    study = make_study(tmp_path, make_plan(tmp_path, PLAN, "data.select=val", "trials=2"))
    run_study(study, InProcess(learn))
    assert "Selection and reporting used the same images" in page(gather(study.plan, study.folder.rows()), "x")


def test_objectives_have_a_panel_and_a_column_each(tmp_path: Path) -> None:
    study = make_study(tmp_path, make_plan(tmp_path, PLAN, "objectives=[ap, params, activations]", "winners.top=0"))
    run_study(study, InProcess(learn))
    facts = gather(study.plan, study.folder.rows())
    assert facts.costs == ("params", "activations")
    for cost in facts.costs:  # each panel's stairs rise, and stand on trials of the front
        best = sorted(facts.best_at(cost), key=lambda trial: trial.value(cost))
        assert [trial.value("ap") for trial in best] == sorted(trial.value("ap") for trial in best)
        assert {trial.ordinal for trial in best} <= {trial.ordinal for trial in facts.front}
    assert facts.best_at("macs") == []
    assert "| trial | proposed by | point | FLOPs | parameters | activations | AP | AP50 |" in page(facts, "x")
    draw_front(facts, tmp_path / "front.svg")
    text = (tmp_path / "front.svg").read_text()
    for words in ("parameters, 3 classes", "activations of one image", "front of AP and this cost alone"):
        assert f"<!-- {words}" in text


def test_what_failed_is_listed_with_its_reason_in_one_line(tmp_path: Path) -> None:
    study = make_study(tmp_path, make_plan(tmp_path, FAMILY))

    def train(task: Task, label: str) -> Outcome:
        if label.startswith("trial"):
            return failure("no | such\nthing")
        return learn(task, label)

    run_study(study, InProcess(train))
    folder = study.folder.path
    text = write_report(folder, gather(study.plan, study.folder.rows())).read_text()
    assert "4 candidates (0 complete, 4 failed)" in text
    assert "| search | trial 3, member 1 | width_factor 2 | no \\| such thing |" in text
    head, *front = (folder / "front.csv").read_text().splitlines()
    assert head == (folder / "trials.csv").read_text().splitlines()[0] and front == []


def test_a_study_of_no_rows_says_so(tmp_path: Path) -> None:
    study = make_study(tmp_path, make_plan(tmp_path))
    folder = study.folder.path
    assert "No candidate has been trained yet" in write_report(folder, gather(study.plan, ())).read_text()
    assert (folder / "front.csv").read_text() == "number,state,proposed_by\n"


def test_the_picture_is_drawn_for_no_rows_and_for_all(done: Study, tmp_path: Path) -> None:
    path = write_report(tmp_path, gather(done.plan, ()))
    assert path.read_text().startswith("# toy") and (tmp_path / "front.png").stat().st_size > 5_000
    empty = (tmp_path / "front.png").read_bytes()
    write_report(tmp_path, gather(done.plan, done.folder.rows()))
    assert (tmp_path / "front.png").read_bytes() != empty


def test_the_first_lines_say_what_the_seeds_do_not_tell_apart(tmp_path: Path) -> None:
    study = make_study(tmp_path, make_plan(tmp_path, PLAN))
    run_study(study, InProcess(learn))

    def first(aps: dict[str, tuple[float, ...]]) -> str:
        """The summary of a study whose winners came to these APs, a seed each."""
        row = next(row for row in study.folder.rows() if row.kind == "winner")
        rows = [row for row in study.folder.rows() if row.kind == "search"]
        for name, values in aps.items():
            rows += [replace(row, spec_id=name, seed=i, final={"ap": ap}) for i, ap in enumerate(values)]
        return page(gather(study.plan, rows), "front.png").split("\n\n")[1]

    # Half a difference of 0.02 is the error of the difference: by Student's t with four degrees 2.776 of it are noise.
    near = first({"one": (0.50, 0.52, 0.54), "two": (0.49, 0.51, 0.53)})
    assert "It does **not differ significantly** from `two` (AP 0.510 ± 0.020)" in near
    far = first({"one": (0.50, 0.52, 0.54), "two": (0.40, 0.42, 0.44)})
    assert "The other fully trained detector differs from it significantly" in far
    both = first({"one": (0.50, 0.52, 0.54), "two": (0.49, 0.51, 0.53), "three": (0.2, 0.22, 0.24)})
    assert "`two`" in both and "`three`" not in both
    assert "With one seed each it **cannot be told apart** from" in first({"one": (0.5,), "two": (0.4,)})
    assert "fully trained" not in first({"one": (0.50, 0.52)})
    study.folder.close()


def test_the_front_marks_what_the_noise_does_not_tell_apart(done: Study) -> None:
    """Each mark is of a trial that costs no more and is at most a significant difference worse, and no such is missing."""
    facts = gather(done.plan, done.folder.rows())
    noise, near = facts.search_noise, facts.not_told_apart
    if done.plan.family:
        assert noise is None and near is None and "No seed is repeated" in page(facts, "front.png")
        return
    assert noise and near and set(near) == {trial.ordinal for trial in facts.front}
    for best in facts.front:
        for trial in facts.trials:
            costs_no_more = trial.value("macs") <= best.value("macs")
            close = best.value("ap") - trial.value("ap") <= noise.significant(1)
            expected = trial.complete and trial is not best and costs_no_more and close
            assert (trial in near[best.ordinal]) == expected
    assert "cannot be told apart** from a candidate that costs no more" in page(facts, "front.png")
    assert any(near.values())
