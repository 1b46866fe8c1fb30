"""Several workers: nobody waits, every proposal follows from its rows, and an interrupted study goes on."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from scalesearch.execute.executor import InProcess
from scalesearch.plan.task import Outcome, Task
from scalesearch.records.folder import read_rows, read_sent
from scalesearch.records.ordinals import Ordinals
from scalesearch.records.row import Row
from scalesearch.study.check import Checked, StrayRowError, check_proposals
from scalesearch.study.driver import run_study
from scalesearch.study.study import Study
from tests.studies import FAMILY, PLAN, make_plan, make_study
from tests.trainings import learn

LADDER = "ladder={rungs: [0.2, 0.5], keep: 0.5}"
EPOCHS = "recipe.epochs=10"
SHORT = ("trials=20", "repeats=0.2", "winners.top=0", "baselines={}")


class Shuffled:
    """Workers whose trainings end in an order drawn from a seed; one of them ends when the driver waits."""

    def __init__(self, workers: int, seed: int = 0, train: Callable[[Task, str], Outcome] = learn) -> None:
        self.workers = self.processes = workers
        self._rng, self._train = random.Random(seed), train
        self.most = 0
        self._out: dict[Future[Outcome], tuple[Task, str]] = {}

    def submit(self, task: Task, label: str) -> Future[Outcome]:
        future: Future[Outcome] = Future()
        self._out[future] = task, label
        self.most = max(self.most, len(self._out))
        return future

    def start(self) -> None:
        future = self._rng.choice(list(self._out))
        try:
            future.set_result(self._train(*self._out.pop(future)))
        except RuntimeError as error:
            future.set_exception(error)

    def close(self) -> None:
        pass


def climb(task: Task, label: str) -> Outcome:
    """`learn`, with a curve over the rungs; some trainings fail at a higher rung."""
    end = learn(task, label)
    final = dict(end.curve[-1][1])
    if task.spec.width == 48 and task.to_epoch > 2:
        raise RuntimeError("it fails when it climbs")
    curve = [(e, {**final, "ap": (final["ap"] or 0) * e / 10}) for e in (2, 5, 10) if e <= task.to_epoch]
    return replace(end, curve=tuple(curve))


def checked(study: Study) -> Checked:
    found = check_proposals(study.plan, study.band, read_rows(study.folder.path), read_sent(study.folder.path))
    assert found.unknown == 0
    return found


@pytest.mark.parametrize("name", ["ehvi", "tpe", "gp", "nsga2", "evolution", "random", "qmc", "grid"])
def test_no_worker_waits_and_every_proposal_follows_from_its_rows(tmp_path: Path, name: str) -> None:
    sampler = f"sampler={{name: {name}, startup: 4, population: 4}}"
    study = make_study(tmp_path, make_plan(tmp_path, PLAN, *SHORT, sampler))
    workers = Shuffled(5)
    run_study(study, workers)
    assert workers.most == 5
    assert checked(study).derived == 20
    keys = [trial.key for trial in study.trials()]
    assert len(keys) == len(set(keys)) == 16
    late = study.trials()[-1].rows[0]
    # The others that were out then were not told.
    assert late.told == (() if name in ("random", "qmc", "grid") else late.told) and late.told is not None
    assert all(0 < 15 - len(Ordinals(text)) <= 4 for text in late.told)


def test_what_reads_no_result_is_told_none_and_is_the_same_for_any_workers(tmp_path: Path) -> None:
    found = []
    for workers in (1, 7):
        (tmp_path / str(workers)).mkdir()
        study = make_study(tmp_path / str(workers), make_plan(tmp_path, PLAN, "sampler.name=random", "winners.top=0"))
        run_study(study, Shuffled(workers))
        found.append([(trial.key, trial.rows[0].told) for trial in study.trials()])
    assert found[0] == found[1] and {told for _, told in found[0]} == {()}


@pytest.mark.parametrize("text", [PLAN, FAMILY.replace("grid", "ehvi, startup: 1")])
def test_a_proposal_on_a_ladder_says_which_rung_of_each_it_was_told(tmp_path: Path, text: str) -> None:
    plan = make_plan(tmp_path, text, EPOCHS, LADDER, *(["trials=24"] if text == PLAN else []))
    study = make_study(tmp_path, plan)
    run_study(study, Shuffled(4, train=climb))
    rows = [row for row in study.folder.rows() if row.kind == "search"]
    assert {row.state for row in rows} >= {"stopped", "complete"}
    assert checked(study).derived == len(study.trials())
    if text == PLAN:
        told = [[len(Ordinals(text)) for text in row.told or ()] for row in rows]
        assert told[-1][0] > told[-1][1] > 0 and all(counts == sorted(counts, reverse=True) for counts in told)
        failed = [row for row in rows if row.state == "failed"]
        assert failed and all([epoch for epoch, _ in row.curve] == [2] for row in failed)


@pytest.mark.parametrize("at", [3, 9, 17])
def test_an_interrupted_study_sends_again_what_was_in_training(tmp_path: Path, at: int) -> None:
    plan = make_plan(tmp_path, PLAN, *SHORT)
    trained: list[Task] = []

    def train(task: Task, label: str) -> Outcome:
        if len(trained) == at:
            raise KeyboardInterrupt
        trained.append(task)
        return learn(task, label)

    cut = make_study(tmp_path, plan)
    with cut.folder, pytest.raises(KeyboardInterrupt):
        run_study(cut, Shuffled(5, train=train))
    sent = cut.folder.sent()
    assert len(sent) >= min(4, 20 - at) and len(cut.folder.rows()) == at
    again = make_study(tmp_path, plan)
    run_study(again, Shuffled(5, seed=1))
    rows = {row.file_name: row for row in again.folder.rows()}
    assert all(_proposal(rows[row.file_name]) == _proposal(row) for row in sent)
    assert checked(again).derived == 20
    again.folder.close()
    assert not (again.folder.path / "sent").exists()


def _proposal(row: Row) -> tuple[object, ...]:
    return row.spec_id, row.told, row.turn, row.seed, row.proposed_by


def test_members_that_families_share_are_trained_once_and_nobody_waits_for_them(tmp_path: Path) -> None:
    trained: list[str] = []

    def train(task: Task, label: str) -> Outcome:
        trained.append(task.spec.id)
        return learn(task, label)

    study = make_study(tmp_path, make_plan(tmp_path, FAMILY, "winners.top=0"))
    workers = Shuffled(4, train=train)
    run_study(study, workers)
    assert len(trained) == len(set(trained)) == 5 and workers.most == 4
    assert checked(study).derived == 4


def test_one_worker_is_told_all_that_came_before(tmp_path: Path) -> None:
    study = make_study(tmp_path, make_plan(tmp_path))
    run_study(study, InProcess(learn))
    told = [row.told for row in study.folder.rows() if row.kind == "search"]
    assert told == [()] * 4 + [(f"0-{n - 1}",) for n in range(4, 12)]
    assert checked(study).derived == 12


@pytest.mark.parametrize(
    ("which", "change", "says"),
    [
        (5, {"final": {"ap": 0.9}}, "search-0000[01][0-9].json: a proposal follows from the rows that it was told"),
        (7, {"told": ("0-3",)}, "search-000007.json: a proposal follows"),
        (
            7,
            {"told": ("0-20",)},
            "search-000007.json: its proposal cannot be derived: 21 results at rung 1 were told, but",
        ),
        (7, {"proposed_by": "random"}, "search-000007.json: a proposal follows .* has random"),
        (12, {"told": None}, "search-000012.json"),
        (19, {"turn": 7}, "it cannot be checked, since repeat"),
        (19, {"seed": 77}, "a repeat follows from the rows that it was told"),
    ],
)
def test_a_row_that_was_changed_is_named(tmp_path: Path, which: int, change: dict[str, object], says: str) -> None:
    study = make_study(tmp_path, make_plan(tmp_path, PLAN, *SHORT))
    run_study(study, Shuffled(4, seed=2))
    rows = list(study.folder.rows())
    rows[which] = replace(rows[which], **change)  # type: ignore[arg-type]
    with pytest.raises(StrayRowError, match=says):
        check_proposals(study.plan, study.band, rows)
    del rows[which]
    with pytest.raises(StrayRowError):
        check_proposals(study.plan, study.band, rows)
