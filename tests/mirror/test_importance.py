"""Importance of axes: what AP was made of is found, with an interval, and what is too little is not computed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scalesearch.evidence.importance import leading
from scalesearch.execute.executor import InProcess
from scalesearch.mirror.importance import FEWEST, importances
from scalesearch.plan.task import Outcome, Task
from scalesearch.records.trials import Trial
from scalesearch.study.driver import run_study
from tests.studies import PLAN, make_plan, make_study
from tests.trainings import learn


@pytest.fixture
def tried(tmp_path: Path) -> list[Trial]:
    """Trials whose AP depends on the width, and a little on the repeats."""
    study = make_study(
        tmp_path, make_plan(tmp_path, PLAN, "trials=40", "sampler.name=random", "winners.top=0", "baselines={}")
    )

    def train(task: Task, label: str) -> Outcome:
        ap = 0.4 - abs(task.spec.width - 40) / 100 + task.spec.repeats / 100
        return replace(learn(task, label), curve=((task.to_epoch, {"ap": ap}),))

    run_study(study, InProcess(train))
    study.folder.close()
    return study.trials()


def test_the_axis_that_made_the_ap_leads(tried: list[Trial]) -> None:
    found = importances(tried)
    assert found and found.trials == len(tried)
    assert sum(one.share for one in found.axes) == pytest.approx(1)
    assert all(0 <= one.low <= one.high <= 1 for one in found.axes)
    assert found.axes[0].axis == "width" and [one.axis for one in leading(found.axes)] == ["width"]
    assert found == importances(tried)


def test_the_ap_is_that_of_the_epochs_that_all_reached(tried: list[Trial]) -> None:
    """A stopped trial has no final AP; its last one is compared with that of the others at the same epoch."""
    row = tried[0].rows[0]
    whole = row.epochs_done
    early = [
        replace(one, rows=(replace(one.rows[0], curve=((1, {"ap": one.value("ap") / 2}), *one.rows[0].curve)),))
        for one in tried
    ]
    stopped = replace(early[0].rows[0], state="stopped", epochs_done=1, curve=early[0].rows[0].curve[:1])
    found = importances([replace(early[0], rows=(stopped,)), *early[1:]])
    assert whole > 1 and found and found.epochs == 1 and found.trials == len(tried)


def test_too_few_candidates_or_axes_give_none(tried: list[Trial]) -> None:
    assert importances(tried[: FEWEST - 1]) is None and importances([]) is None
    assert importances([replace(one, point={"width": one.point["width"]}) for one in tried]) is None
    genes = [replace(one, point={"width": one.point["width"], "node0.level": 3 + i % 2}) for i, one in enumerate(tried)]
    assert importances(genes) is None
