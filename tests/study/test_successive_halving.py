"""The ladder: who goes on, that nothing is lost or trained twice, and what the sampler and the ledger see of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from scalesearch.cost.price import price
from scalesearch.execute.executor import InProcess, WorkerLostError
from scalesearch.mirror.storage import FILE
from scalesearch.plan.plan import PlanError
from scalesearch.plan.task import Outcome, Task, TaskError
from scalesearch.records.row import Row
from scalesearch.records.trials import Trial
from scalesearch.study.driver import run_study
from scalesearch.study.successive_halving import promotion
from tests.studies import PLAN, make_latency_study, make_plan, make_study
from tests.trainings import measure

LADDER = PLAN + "ladder: {rungs: [0.2, 0.5], keep: 0.34}\nrecipe: {epochs: 10}\n"
RUNGS = (2, 5, 10)
MakeRow = Callable[..., Row]


def learn(task: Task, label: str) -> Outcome:
    """A curve that rises faster for narrow networks; AP at an epoch depends on the spec alone."""
    speed = 8 / task.spec.width

    def ap(epoch: int) -> float:
        return math.log10(price(task.spec).macs) / 20 * (1 - math.exp(-speed * epoch))

    epochs = [epoch for epoch in RUNGS if epoch <= task.to_epoch]
    curve = tuple((epoch, {"ap": ap(epoch), "ap50": ap(epoch)}) for epoch in epochs)
    return Outcome(state="complete", curve=curve, seconds=1.0, peak_memory=1, images_per_second=1.0)


def make_trials(make_row: MakeRow, aps: Mapping[int, list[float]], macs: Mapping[int, int]) -> list[Trial]:
    """Trials by ordinal, with APs at the first rungs."""
    found = []
    for ordinal, values in aps.items():
        curve = tuple((epoch, {"ap": ap}) for epoch, ap in zip(RUNGS, values, strict=False))
        state = "complete" if len(values) == len(RUNGS) else "stopped"
        row = make_row(
            ordinal=ordinal,
            curve=curve,
            final=curve[-1][1],
            epochs_done=curve[-1][0],
            epochs_planned=10,
            state=state,
            cost={"macs": macs[ordinal], "params": 1, "activations": 1},
        )
        found.append(Trial(ordinal, {}, "random", (row,)))
    return found


@pytest.fixture
def make_row(study_row: Row) -> MakeRow:
    return lambda **changes: replace(study_row, **changes)


@pytest.fixture
def study_row(tmp_path: Path) -> Row:
    """Some search row."""
    study = make_study(tmp_path, make_plan(tmp_path, LADDER, "trials=1", "winners.top=0"))
    run_study(study, InProcess(learn))
    return next(row for row in study.folder.rows() if row.kind == "search")


def ask(trials: list[Trial], heading: Mapping[int, int] | None = None, **changes: object) -> tuple[int, int] | None:
    settings: dict[str, object] = {"rungs": RUNGS, "keep": 0.34, "objectives": ["ap", "macs"]}
    settings |= {"no_more": False, "least": 1} | changes
    found = promotion(trials, heading or {}, **settings)  # type: ignore[arg-type]
    return (found.trial.ordinal, found.rung) if found else None


def test_the_best_third_goes_on_and_only_once(make_row: MakeRow) -> None:
    same = dict.fromkeys(range(9), 100)
    assert ask(make_trials(make_row, {0: [0.1], 1: [0.3]}, same)) is None  # a third of two is none
    trials = make_trials(make_row, {0: [0.1], 1: [0.3], 2: [0.2]}, same)
    assert ask(trials) == (1, 1)
    assert ask(trials, heading={1: 1}) is None
    assert ask(make_trials(make_row, {0: [0.1], 1: [0.3, 0.4], 2: [0.2]}, same)) is None


def test_the_highest_rung_first_and_the_end_rounds_up(make_row: MakeRow) -> None:
    same = dict.fromkeys(range(9), 100)
    aps = {0: [0.3, 0.31], 1: [0.3, 0.5], 2: [0.29, 0.4], 3: [0.28], 4: [0.1], 5: [0.1], 6: [0.1], 7: [0.1], 8: [0.1]}
    assert ask(make_trials(make_row, aps, same)) == (1, 2)
    few = make_trials(make_row, {0: [0.1], 1: [0.3]}, same)
    assert ask(few, no_more=True) == (1, 1)
    assert ask(few, no_more=True, heading={7: 0}) is None  # one is still on its way to this rung
    grown = make_trials(make_row, {0: [0.1], 1: [0.3, 0.4]}, same)
    assert ask(grown, no_more=True) == (1, 2)
    assert ask(grown, no_more=True, least=2) == (0, 1)


def test_a_cheap_one_that_learns_nothing_does_not_go_on_for_being_cheap(make_row: MakeRow) -> None:
    aps = {0: [0.0], 1: [0.2], 2: [0.3], 3: [0.25], 4: [0.01], 5: [0.29]}
    macs = {0: 10, 1: 50, 2: 90, 3: 60, 4: 11, 5: 80}
    trials = make_trials(make_row, aps, macs)  # all but 0 and 4 are a sensible front, and all six are non-dominated
    first = ask(trials, keep=0.5)
    assert first is not None and first[0] not in (0, 4)
    second = ask(trials, keep=0.5, heading={first[0]: 1})
    assert second is not None and second[0] not in (0, 4)


def test_a_model_says_who_goes_on(make_row: MakeRow) -> None:
    trials = make_trials(
        make_row, {0: [0.1], 1: [0.3, 0.4], 2: [0.2], 3: [0.1], 4: [0.2], 5: [0.1]}, dict.fromkeys(range(6), 100)
    )
    asked = []

    def gains(waiting: Sequence[Trial], ahead: Sequence[Trial]) -> list[float]:
        asked.append(([trial.ordinal for trial in waiting], [trial.ordinal for trial in ahead]))
        return [float(trial.ordinal == 3) for trial in waiting]

    assert ask(trials, heading={2: 0}, gains=gains) == (3, 1)  # the second of the two that a third of six allows
    assert asked == [([0, 3, 4, 5], [1, 2])]
    assert ask(trials, heading={3: 1}, gains=gains) is None and len(asked) == 1
    assert ask(trials, gains=lambda waiting, ahead: None) == (2, 1)  # a model that knows nothing leaves it to the rank


def test_failed_ones_do_not_count(make_row: MakeRow) -> None:
    trials = make_trials(make_row, {0: [0.1], 1: [0.3], 2: [0.2]}, dict.fromkeys(range(3), 100))
    failed = Trial(1, {}, "random", (replace(trials[1].rows[0], state="failed"),))
    assert ask([trials[0], failed, trials[2]]) is None


def test_a_ladder_spends_less_and_its_top_is_the_front(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    study = make_study(tmp_path, make_plan(tmp_path, LADDER, "trials=27", "winners.top=3"))
    run_study(study, InProcess(learn))
    trials = study.trials()
    assert len(trials) == 27
    at = {epochs: sum(trial.epochs_done >= epochs for trial in trials) for epochs in RUNGS}
    assert at[2] == 27 and 9 <= at[5] <= 14 and 3 <= at[10] <= 6
    assert all(trial.complete == (trial.epochs_done == 10) and trial.stopped != trial.complete for trial in trials)
    assert all(row.epochs_done == 10 for row in study.folder.rows() if row.kind == "winner")
    assert not (study.folder.path / "tasks").exists()
    assert any("rung 2/3" in line for line in said.messages)


@pytest.mark.parametrize("sampler", ["random", "tpe", "ehvi"])
def test_an_interrupted_ladder_continues_to_the_same_rows(tmp_path: Path, sampler: str) -> None:
    text, options = LADDER, ("trials=9", f"sampler.name={sampler}")
    (tmp_path / "whole").mkdir()
    whole = make_study(tmp_path / "whole", make_plan(tmp_path / "whole", text, *options))
    run_study(whole, InProcess(learn))
    for at in (1, 4, 9, 13):
        left, place = at, tmp_path / f"cut{at}"
        place.mkdir()

        def train(task: Task, label: str) -> Outcome:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return learn(task, label)

        cut = make_study(place, make_plan(place, text, *options))
        with cut.folder, pytest.raises(KeyboardInterrupt):
            run_study(cut, InProcess(train))
        again = make_study(place, make_plan(place, text, *options))
        run_study(again, InProcess(learn))
        assert again.folder.rows() == whole.folder.rows()


def test_the_ledger_has_one_trial_a_candidate(tmp_path: Path) -> None:
    study = make_study(tmp_path, make_plan(tmp_path, LADDER, "trials=9"))
    states = []

    def train(task: Task, label: str) -> Outcome:
        states.append([trial.state.name for trial in mirrored()])
        return learn(task, label)

    def mirrored() -> list[optuna.trial.FrozenTrial]:
        file = study.folder.path / FILE
        if not file.exists():
            return []
        storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(file)))
        return optuna.load_study(study_name="toy", storage=storage).trials

    run_study(study, InProcess(train))
    assert ["RUNNING", "RUNNING"] in states
    assert [trial.state.name for trial in mirrored()] == [
        "COMPLETE" if trial.complete else "PRUNED" for trial in study.trials()
    ]
    assert [trial.number for trial in mirrored()] == list(range(9))
    assert all(
        trial.user_attrs["AP"] == round(own.rows[0].final["ap"] or 0, 4)
        for trial, own in zip(mirrored(), study.trials(), strict=True)
    )
    assert not any(trial.intermediate_values for trial in mirrored())  # Optuna's multi-objective TPE raises on them


def test_a_lost_task_is_sent_again_until_the_training_is_to_blame(
    tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    deaths = {"trial 2/9, rung 1/3": 1, "trial 4/9, rung 1/3": 3}

    def train(task: Task, label: str) -> Outcome:
        if deaths.get(label, 0):
            deaths[label] -= 1
            raise WorkerLostError("a worker died", final=label.startswith("trial 4/") and not deaths[label])
        return learn(task, label)

    study = make_study(tmp_path, make_plan(tmp_path, LADDER, "trials=9"))
    run_study(study, InProcess(train))
    assert [trial.ordinal for trial in study.trials() if trial.failed] == [3]
    assert study.trials()[3].rows[0].reason == "a worker died"
    assert sum("sent again" in line for line in said.messages) == 3


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("a shape\ndoes not fit"), "RuntimeError: a shape does not fit"),
        (MemoryError(), "out of memory: MemoryError"),
        (ValueError(""), "ValueError"),
    ],
)
def test_what_a_candidate_raises_is_its_row_and_the_study_goes_on(
    tmp_path: Path, said: pytest.LogCaptureFixture, error: Exception, reason: str
) -> None:
    def train(task: Task, label: str) -> Outcome:
        if label.startswith("trial 3/"):
            raise error
        return learn(task, label)

    study = make_study(tmp_path, make_plan(tmp_path, LADDER, "trials=9"))
    run_study(study, InProcess(train))
    assert [trial.rows[0].reason for trial in study.trials() if trial.failed] == [reason]
    assert len(study.trials()) == 9


def test_what_is_wrong_with_all_ends_the_study(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    def unreadable(task: Task, label: str) -> Outcome:
        raise TaskError("an image must be readable")

    def broken(task: Task, label: str) -> Outcome:
        raise RuntimeError("no")

    study = make_study(tmp_path, make_plan(tmp_path, LADDER))
    with pytest.raises(TaskError, match="readable"):
        run_study(study, InProcess(unreadable))
    assert study.folder.rows() == ()
    with pytest.raises(ValueError, match="all of the first 10 trainings failed, the last .* RuntimeError: no"):
        run_study(study, InProcess(broken))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{rungs: [1.0]}", "ladder.rungs[0] must be a share below 1: the whole training is the top"),
        ("{rungs: [0.5, 0.2]}", "ladder must have rungs that grow in epochs, but got 0.5, 0.2; put them in order"),
        (
            "{rungs: [0.2, 0.21]}",
            "the rungs of a ladder need different numbers of epochs, but at 10 epochs they are 2, 2, 10",
        ),
        ("{rungs: [0.2], keep: 1}", "ladder.keep must be a share below 1"),
        ("{rungs: [{epochs: 0.2, images: 0}]}", "ladder.rungs[0].images must be a share above 0 and at most 1"),
        ("{rungs: []}", "ladder.rungs must be a list of at least one value"),
    ],
)
def test_a_ladder_that_is_none_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(PlanError) as caught:
        make_plan(tmp_path, PLAN + f"recipe: {{epochs: 10}}\nladder: {text}\n")
    assert said in str(caught.value) and "toy.yaml:" in str(caught.value)


def test_a_ladder_reads_back_as_written(tmp_path: Path) -> None:
    from scalesearch.plan.plan import read_plan

    ladder = (
        "ladder: {rungs: [{epochs: 0.2, images: 0.5, size: 0.75}, 0.5]}\nrecipe: {epochs: 10}\ntime_limit: 1.5min\n"
    )
    plan = make_plan(tmp_path, PLAN + ladder)
    assert plan.time_limit == 90
    (tmp_path / "again.yaml").write_text(plan.to_yaml())
    assert read_plan(tmp_path / "again.yaml") == plan


def test_what_a_measurement_finds_outside_the_band_is_not_trained(
    tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    trained: list[str] = []
    measured: list[str] = []

    def train(task: Task, label: str) -> Outcome:
        (measured if task.latency else trained).append(task.spec.id)
        assert label.endswith(", latency") == bool(task.latency)
        return measure(task) if task.latency else learn(task, label)

    study = make_latency_study(tmp_path, make_plan(tmp_path, LADDER, "trials=9"))
    run_study(study, InProcess(train))
    assert measured == [row.spec_id for row in study.folder.rows() if row.kind == "search"]  # once, at the first rung
    slow = [trial for trial in study.trials() if trial.rows[0].spec.width > 40]
    assert slow and all(trial.failed and trial.rows[0].reason.startswith("measured") for trial in slow)
    assert not {trial.rows[0].spec_id for trial in slow} & set(trained)
    assert any("50% over 20 ms, not trained" in line for line in said.messages)
    assert any(
        f"{len(slow)} of 9 trials went to candidates that were predicted inside" in line for line in said.messages
    )


def test_no_more_than_the_share_goes_on_however_good_the_later_ones_are(make_row: MakeRow) -> None:
    same = dict.fromkeys(range(9), 100)
    aps = {0: [0.3, 0.4], 1: [0.1], 2: [0.1], 3: [0.5], 4: [0.5]}
    assert ask(make_trials(make_row, aps, same)) is None  # one of five goes on, and one already has
    assert ask(make_trials(make_row, aps, same), heading={0: 1}) is None
    sixth = make_trials(make_row, aps | {5: [0.1]}, same)
    assert ask(sixth) == (3, 1)
    assert ask(sixth, heading={3: 1}) is None


def test_a_dear_one_is_ranked_by_the_gain_that_dear_ones_had(make_row: MakeRow) -> None:
    macs = {0: 100, 1: 400, 2: 100, 3: 400, 4: 120, 5: 390}
    learned = {0: [0.3, 0.32, 0.33], 1: [0.2, 0.35, 0.5], 2: [0.29, 0.31, 0.32], 3: [0.2, 0.34, 0.48]}
    early = {4: [0.3], 5: [0.22]}
    objectives = {"objectives": ["ap"], "keep": 0.84}  # of six, five
    assert ask(make_trials(make_row, learned | early, macs), **objectives) == (5, 1)
    # Where nobody has come to the end, the AP at the rung is all there is to go by.
    assert ask(make_trials(make_row, {i: aps[:1] for i, aps in (learned | early).items()}, macs), **objectives) == (
        0,
        1,
    )
