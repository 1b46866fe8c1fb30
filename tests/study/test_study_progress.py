"""The expected end of a study, by what was trained of it so far."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from scalesearch.execute.executor import InProcess
from scalesearch.io.progress import bar
from scalesearch.plan.task import Outcome, Task
from scalesearch.study.driver import run_study, search
from scalesearch.study.study_progress import StudyProgress, _clock, epochs_of_a_candidate, work
from tests.displays import watched
from tests.studies import PLAN, make_plan, make_study
from tests.trainings import learn


class Lagging(InProcess):
    """In-process training that counts as two workers in two processes."""

    workers = processes = 2


def test_what_is_expected_is_what_comes(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, PLAN)
    study, shares = make_study(tmp_path, plan), list[float]()
    trainings = (plan.winners.top + len(plan.baselines)) * len(plan.winners.seeds)
    expected = plan.trials * plan.recipe.epochs + trainings * plan.winners.recipe.epochs
    assert work(study, searched=False) == (0, expected)
    progress = StudyProgress(study, 1)
    assert progress.end == ""  # nothing is known before a training is done
    search(study, InProcess(learn))
    assert work(study, searched=False) == (plan.trials * plan.recipe.epochs, expected)
    assert progress.end.startswith("the study ends at about ")
    with watched(lambda done, total, what: shares.append(done / total)):
        run_study(study, Lagging(learn))
    progress.advance()
    now = work(study, searched=True)
    assert now.done == now.expected <= expected
    assert shares == sorted(shares) and shares[-1] == 1
    assert progress.end == ""
    study.folder.close()


def test_a_training_s_own_bar_tells_of_the_study(tmp_path: Path) -> None:
    study, labels = make_study(tmp_path, make_plan(tmp_path, PLAN, "trials=4")), list[str]()

    def train(task: Task, label: str) -> Outcome:
        bar(label)
        return learn(task, label)

    with watched(lambda done, total, what: None, labels):
        run_study(study, InProcess(train))
    assert labels[0] == "trial 1/4"
    assert labels[1].startswith("trial 2/4 (the study ends at about ")
    study.folder.close()


def test_a_ladder_trains_a_share(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, PLAN, "recipe.epochs=10", "ladder={rungs: [0.1, 0.3], keep: 0.5}")
    assert epochs_of_a_candidate(plan) == pytest.approx(1 + 0.5 * 2 + 0.25 * 7)


def test_another_day_is_named() -> None:
    now = datetime(2026, 1, 31, 23, 0)
    assert _clock(now, timedelta(minutes=30)) == "23:30"
    assert _clock(now, timedelta(hours=2)) == "01:00 on 2026-02-01"
