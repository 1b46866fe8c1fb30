"""The expected end of a study, by what was trained of it so far."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from scalesearch.app.study_progress import StudyProgress, _clock, epochs_of_a_candidate, work
from scalesearch.execute.executor import InProcess
from scalesearch.study.driver import run, search
from tests.studies import PLAN, learn, make_plan, make_study


class Told:
    """A console that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.labels: list[str] = []
        self.shares: list[float] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def bar(self, label: str, *, at_once: bool = False) -> Callable[[int, int, str], None]:
        self.labels.append(label)
        return lambda done, total, what: self.shares.append(done / total)


def test_what_is_expected_is_what_comes(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, PLAN)
    study, console = make_study(tmp_path, plan), Told()
    trainings = (plan.winners.top + len(plan.baselines)) * len(plan.winners.seeds)
    expected = plan.trials * plan.recipe.epochs + trainings * plan.winners.recipe.epochs
    assert work(study, searched=False) == (0, expected)
    progress = StudyProgress(study, 2, console)
    assert progress.end == ""  # nothing is known before a training is done
    search(study, InProcess(learn), progress.say)
    assert work(study, searched=False) == (plan.trials * plan.recipe.epochs, expected)
    assert progress.end.startswith("the study ends at about ")
    run(study, InProcess(learn), progress.say)
    now = work(study, searched=True)
    assert now.done == now.expected <= expected
    assert console.shares == sorted(console.shares) and console.shares[-1] == 1
    assert progress.end == ""
    study.folder.close()


def test_a_training_s_own_bar_tells_of_the_study(tmp_path: Path) -> None:
    study, console = make_study(tmp_path, make_plan(tmp_path, PLAN, "trials=4")), Told()
    progress = StudyProgress(study, 1, console)
    progress.bar("trial 1/4")
    search(study, InProcess(learn), progress.say)
    progress.bar("winner 1, seed 0")
    assert console.labels[0] == "trial 1/4"
    assert console.labels[1].startswith("winner 1, seed 0 (the study ends at about ")
    study.folder.close()


def test_a_ladder_trains_a_share(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, PLAN, "recipe.epochs=10", "ladder={rungs: [0.1, 0.3], keep: 0.5}")
    assert epochs_of_a_candidate(plan) == pytest.approx(1 + 0.5 * 2 + 0.25 * 7)


def test_another_day_is_named() -> None:
    now = datetime(2026, 1, 31, 23, 0)
    assert _clock(now, timedelta(minutes=30)) == "23:30"
    assert _clock(now, timedelta(hours=2)) == "01:00 on 2026-02-01"
