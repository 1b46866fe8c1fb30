"""Latencies that are measured by workers: nothing else runs on the machine meanwhile, and a lost worker costs nothing."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from scalesearch.cost.budget import Bound
from scalesearch.execute.executor import Answer
from scalesearch.execute.processes import LocalProcesses
from scalesearch.execute.site import Gone
from scalesearch.execute.worker_executor import WorkerExecutor
from scalesearch.plan.task import Outcome, Task
from scalesearch.study.check import check_proposals
from scalesearch.study.driver import run_study
from tests.execute.test_worker_executor import Threads
from tests.studies import PLAN, make_latency_study, make_plan
from tests.trainings import learn, measure, outcome, prepared, tiny_task


@contextmanager
def noted(folder: Path, kind: str) -> Iterator[None]:
    """Write when a task begins and ends, in the order in which that happens."""
    for what in ("begins", "ends"):
        with open(folder / "events", "a") as file:
            file.write(f"{os.getpid()} {kind} {what}\n")
        if what == "begins":
            yield


def work(task: Task) -> Outcome:
    """Measures what is to be measured, else trains."""
    if task.folder.parent.name == "both":
        return meet(task)
    with noted(task.folder.parent.parent, "measurement" if task.latency else "training"):
        time.sleep(0.05)
        return measure(task) if task.latency else learn(task, "")


def meet(task: Task) -> Outcome:
    """Ends when two workers are there."""
    task.folder.mkdir(parents=True)
    while len(list(task.folder.parent.iterdir())) < 2:
        time.sleep(0.02)
    return outcome()


def die_once(task: Task) -> Outcome:
    """As `work`, in a process that is killed in its first measurement."""
    died = task.folder.parent.parent / "died"
    if task.latency and not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return work(task)


def test_two_workers_measure_while_nothing_trains(tmp_path: Path) -> None:
    study = make_latency_study(tmp_path, make_plan(tmp_path))
    executor = LocalProcesses(2, work, prepared, (0.0,))
    try:
        wait([executor.submit(tiny_task(tmp_path / "both" / name), name) for name in "ab"], timeout=300)
        run_study(study, executor)
    finally:
        executor.close()
    trials = study.trials()
    slow = [trial for trial in trials if trial.failed]
    assert len(trials) == 12 and 0 < len(slow) < 12
    assert {trial.rows[0].reason for trial in slow} == {"measured before training: latency 30 ms is 50% over 20 ms"}
    assert all((trial.rows[0].spec.width > 40) == trial.failed for trial in trials)
    assert check_proposals(study.plan, study.band, study.folder.rows()) == (12, 0)
    running: set[tuple[str, str]] = set()
    begun: Counter[str] = Counter()
    most = 0
    for line in (study.folder.path / "events").read_text().splitlines():
        process, kind, what = line.split()
        if what == "ends":
            running.remove((process, kind))
            continue
        assert not running or {kind, *(other for _, other in running)} == {"training"}
        running.add((process, kind))
        begun[kind] += 1
        most = max(most, len(running))
    assert begun == {"measurement": 12, "training": 12 - len(slow) + 6} and most == 2


def test_a_measurement_whose_worker_is_lost_is_made_again(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    study = make_latency_study(tmp_path, make_plan(tmp_path, PLAN, "trials=2", "winners.top=0", "baselines={}"))
    executor = LocalProcesses(1, die_once, prepared, (0.0,))
    try:
        run_study(study, executor)
    finally:
        executor.close()
    rows = study.folder.rows()
    assert [row.outside for row in rows] == [row.spec.width > 40 for row in rows] and len(rows) == 2
    kinds = [line.split()[1:] for line in (study.folder.path / "events").read_text().splitlines()]
    assert kinds.count(["measurement", "begins"]) == kinds.count(["measurement", "ends"]) == 2
    (lost,) = [line for line in said.messages if line.endswith("; sent again")]
    assert lost.startswith("trial 1/2: worker process ")


def test_one_machine_of_several_is_kept_for_measurements(tmp_path: Path) -> None:
    """The others train meanwhile, also what waits behind the measurements."""
    running: Counter[str] = Counter()
    beside: list[str] = []
    lock, end = threading.Lock(), threading.Event()

    def conduct(node: str, task: Task) -> Answer | Gone:
        kind = "measurement" if task.latency else "training"
        with lock:
            running[node] += 1
            if running[node] > 1 and (task.latency or f"{node} measures" in running):
                beside.append(node)
            if task.latency:
                running[f"{node} measures"] += 1
        if task.latency:
            time.sleep(0.01)
        else:
            end.wait(30)
        with lock:
            running[node] -= 1
            if task.latency:
                del running[f"{node} measures"]
        return outcome(f"{kind} {node}")

    def sent(name: str, *, latency: bool = False) -> Future[Outcome]:
        task = tiny_task(tmp_path / name)
        return executor.submit(replace(task, latency=Bound(0, 1)) if latency else task, name)

    executor = WorkerExecutor[Task, Outcome](Threads("ab", conduct, room=2), 4)
    try:
        first = sent("first")
        while not running:
            time.sleep(0.002)
        (busy,) = [node for node in running if running[node]]
        quiet = {"a": "b", "b": "a"}[busy]
        measured = [sent(f"m{i}", latency=True) for i in range(2)]
        later = [sent("t1"), sent("t2")]
        wait(measured, timeout=30)
        assert [one.result().reason for one in measured] == [f"measurement {quiet}"] * 2
        assert not first.done() and not later[1].running()  # the measuring machine waits for more of them
        executor.start()
        while not all(one.running() for one in later):
            time.sleep(0.002)
        end.set()
        wait([first, *later], timeout=30)
        assert not beside
    finally:
        end.set()
        executor.close()
