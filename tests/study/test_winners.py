"""Winners trained otherwise than the plan says: rows beside the plan's own, each once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from scalesearch.execute.executor import InProcess
from scalesearch.plan.plan import read_plan
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.sections import WinnersPlan
from scalesearch.plan.task import Outcome, Task
from scalesearch.records.folder import read_rows
from scalesearch.records.front import best_trials
from scalesearch.report.facts import gather
from scalesearch.report.page import page
from scalesearch.study.driver import run_study, train_winners
from scalesearch.study.study import Study
from tests.studies import PLAN, make_plan, make_study
from tests.trainings import learn

FULL = WinnersPlan(top=2, seeds=(0, 1, 2), recipe=Recipe(epochs=77))


def test_rows_lie_beside_the_plans_own_and_are_trained_once(study: Study) -> None:
    run_study(study, InProcess(learn))
    before = study.folder.rows()
    sent: list[Task] = []

    def counted(task: Task, label: str) -> Outcome:
        sent.append(task)
        return learn(task, label)

    for _ in range(2):
        train_winners(study, InProcess(counted), FULL, "full")
    assert len(sent) == 6 and {task.to_epoch for task in sent} == {77}
    assert {task.train_on for task in sent} == {"train+select"} and {task.evaluate_on for task in sent} == {"val"}
    rows = study.folder.rows()
    added = [row for row in rows if row not in before]
    assert [row for row in rows if row in before] == list(before)
    assert {row.file_name for row in added} == {
        f"winner-{row.spec_id}-{FULL.recipe.id}-s{seed}.json" for row in added for seed in range(3)
    }
    best = best_trials(study.trials(), study.plan.objectives)[:2]
    assert {row.spec_id for row in added} == {row.spec_id for trial in best for row in trial.rows}
    study.folder.close()  # type: ignore[attr-defined]
    assert read_rows(study.folder.path) == rows

    run_study(study, InProcess(counted))  # the plan's own winners are not trained again
    assert len(sent) == 6


def test_the_page_sets_the_proxy_beside_full_training(study: Study) -> None:
    run_study(study, InProcess(learn))
    train_winners(study, InProcess(learn), FULL, "full")
    facts = gather(study.plan, study.folder.rows())
    text = page(facts, "x")
    assert [len(audit.full) for audit in facts.audits] == [2, 2]
    assert "## Proxy against full training" in text and "### By the recipe full" in text
    assert "### By the plan's recipe" in text
    assert "| AP on b (30 epochs) | rank | AP on c (77 epochs) | rank |" in text
    assert text.count("2 candidates are too few for a rank correlation.") == 2


def test_many_have_a_rank_correlation(tmp_path: Path) -> None:
    """The seed changes the toy's AP by the same for all, so the order is kept, until one is turned round."""
    study = make_study(tmp_path, make_plan(tmp_path, PLAN, "sampler={name: random}", "trials=24"))
    run_study(study, InProcess(learn))
    train_winners(study, InProcess(learn), dataclasses.replace(FULL, top=8), "full")
    facts = gather(study.plan, study.folder.rows())
    count, pairs = 8, 28
    text = page(facts, "x")
    assert "Kendall's tau-b **1.00** (95 % " in text and f" over {count} candidates: {pairs} of {pairs} pairs" in text

    def upside_down(task: Task, label: str) -> Outcome:
        outcome = learn(task, label)
        numbers = {**outcome.curve[-1][1], "ap": 1 - (outcome.curve[-1][1]["ap"] or 0)}
        return dataclasses.replace(outcome, curve=((task.to_epoch, numbers),))

    other = dataclasses.replace(FULL, top=8, recipe=Recipe(epochs=78))
    train_winners(study, InProcess(upside_down), other, "turned")
    assert "Kendall's tau-b **-1.00**" in page(gather(study.plan, study.folder.rows()), "x")


def test_one_winner_has_no_order(study: Study, tmp_path: Path) -> None:
    run_study(study, InProcess(learn))
    rows = [row for row in study.folder.rows() if row.kind != "winner"]
    assert "Proxy against full" not in page(gather(study.plan, rows), "x")


def test_a_study_goes_on_with_more_winners_seeds_and_named_designs(study: Study, tmp_path: Path) -> None:
    run_study(study, InProcess(learn))
    before = study.folder.rows()
    study.folder.close()  # type: ignore[attr-defined]
    more = (
        "winners.top=3",
        "winners.seeds=[0,1,2]",
        "baselines.wide={topology: bifpn, size: 96, width: 32, repeats: 1}",
    )
    grown = make_study(tmp_path, make_plan(tmp_path, PLAN, *more))
    run_study(grown, InProcess(learn))
    rows = grown.folder.rows()
    assert [row for row in rows if row in before] == list(before)
    full = [row for row in rows if row.kind != "search"]
    designs = {(row.kind, row.name, row.spec_id) for row in full}
    assert {name for _, name, _ in designs} == {"", "plain", "wide"}
    for design in designs:
        assert sorted(row.seed for row in full if (row.kind, row.name, row.spec_id) == design) == [0, 1, 2]
    assert len({row.spec_id for row in rows if row.kind == "winner"}) == 3
    assert read_plan(grown.folder.path / "plan.yaml") == grown.plan
