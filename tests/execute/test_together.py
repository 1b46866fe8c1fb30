"""Tasks of one trunk in one worker: how they are shared out, and what a lost worker costs."""

from __future__ import annotations

from concurrent.futures import wait
from dataclasses import replace
from pathlib import Path

import pytest

from scalesearch.execute.executor import Answer, InProcess, WorkerLostError
from scalesearch.execute.processes import LocalProcesses
from scalesearch.execute.together import TaskGroup, Together
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.task import Task
from scalesearch.study.driver import run_study
from tests.studies import PLAN, make_latency_study, make_plan, make_study
from tests.trainings import die, learn, learn_all, measure, prepared, tiny_task

FROZEN = Recipe(freeze="backbone", epochs=1)


def tasks(folder: Path, widths: range, recipe: Recipe = FROZEN) -> list[Task]:
    first = tiny_task(folder)
    return [
        replace(first, spec=replace(first.spec, width=width), recipe=recipe, folder=folder / str(width))
        for width in widths
    ]


def test_tasks_of_one_trunk_wait_for_each_other(tmp_path: Path) -> None:
    seen: list[tuple[list[int], str]] = []

    def train(group: TaskGroup, label: str) -> list[Answer]:
        seen.append(([task.spec.width for task in group.tasks], label))
        return learn_all(group)

    executor = Together(InProcess(train), 4)
    assert (executor.workers, executor.processes) == (4, 1)
    odd = replace(tasks(tmp_path, range(30, 31))[0], seed=1)
    sent = [*tasks(tmp_path, range(8, 13)), odd, *tasks(tmp_path, range(20, 22), Recipe(epochs=1))]
    futures = [executor.submit(task, f"trial {task.spec.width}") for task in sent]
    assert not seen and not any(future.done() for future in futures)
    for groups in range(1, 6):
        executor.start()  # in this process one group, so that its rows are written before the next
        assert len(seen) == groups and sum(future.done() for future in futures) == sum(len(one) for one, _ in seen)
    # At most four at a time, and as many in each; another seed is another trunk, and what is trained has none.
    assert seen == [
        ([8, 10, 12], "trial 8 and 2 more"),
        ([9, 11], "trial 9 and 1 more"),
        ([30], "trial 30"),
        ([20], "trial 20"),
        ([21], "trial 21"),
    ]
    assert all(future.result() == learn(task, "") for future, task in zip(futures, sent, strict=True) if task != odd)
    with pytest.raises(ValueError, match="seed 1"):
        futures[5].result()
    executor.start()
    assert len(seen) == 5


def test_free_workers_share_the_tasks(tmp_path: Path) -> None:
    executor = Together(LocalProcesses(2, die, prepared, (0.0,)), 8)
    try:
        futures = [executor.submit(task, "") for task in tasks(tmp_path, range(10, 16))]
        executor.start()
        wait(futures, timeout=300)
    finally:
        executor.close()
    assert (tmp_path / "sizes").read_text().split() == ["3", "3"]


def test_a_task_that_kills_its_workers_fails_alone(tmp_path: Path) -> None:
    executor = Together(LocalProcesses(1, die, prepared, (0.0,)), 3)
    left, lost = tasks(tmp_path, range(8, 11)), []
    try:
        for _ in range(3):
            futures = [executor.submit(task, "") for task in left]
            executor.start()
            wait(futures, timeout=300)
            left = [
                task for task, one in zip(left, futures, strict=True) if isinstance(one.exception(), WorkerLostError)
            ]
            lost.append([task.spec.width for task in left])
    finally:
        executor.close()
    assert lost == [[8, 9, 10], [8, 9, 10], [9]]
    assert (tmp_path / "sizes").read_text().split() == ["3", "3", "1", "1", "1"]


def test_a_study_fills_its_groups(tmp_path: Path) -> None:
    sizes: list[int] = []

    def train(group: TaskGroup, label: str) -> list[Answer]:
        sizes.append(len(group.tasks))
        return learn_all(group)

    # Of one size, since candidates of another have another trunk. Winners have several seeds, of which one is odd.
    text = PLAN.replace("{low: 64, high: 128, step: 32}", "96").replace("min: 8M, max: 16M", "max: 1G")
    text += "recipe: {freeze: backbone}\ntogether: 4\n"
    study = make_study(tmp_path, make_plan(tmp_path, text))
    run_study(study, Together(InProcess(train), 4))
    rows = [row for row in study.folder.rows() if row.kind == "search"]
    assert [row.ordinal for row in rows] == list(range(12)) and all(row.state == "complete" for row in rows)
    assert sizes[:3] == [4, 4, 4] and sum(sizes) == len(study.folder.rows())


def test_groups_are_filled_by_what_is_measured_inside_the_band(tmp_path: Path) -> None:
    groups: list[list[Task]] = []

    def train(group: TaskGroup, label: str) -> list[Answer]:
        groups.append(list(group.tasks))
        return [measure(group.tasks[0])] if group.tasks[0].latency else learn_all(group)

    text = PLAN.replace("{low: 64, high: 128, step: 32}", "96").replace("min: 8M, max: 16M", "max: 1G")
    text += "recipe: {freeze: backbone}\ntogether: 4\n"
    study = make_latency_study(tmp_path, make_plan(tmp_path, text, "winners.top=0", "baselines={}"))
    run_study(study, Together(InProcess(train), 4))
    inside = sum(not trial.failed for trial in study.trials())
    assert 0 < inside < 12
    assert [len(group) for group in groups if group[0].latency] == [1] * 12
    sizes = [len(group) for group in groups if not group[0].latency]
    assert sizes == [4] * (inside // 4) + [inside % 4] * (inside % 4 > 0)
