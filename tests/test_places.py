"""Where a study runs, as a user types it: local workers that are killed, a Ray cluster, a second driver, a storage."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from scalesearch.data.sets import open_data
from scalesearch.plan.plan import read_plan
from scalesearch.records.folder import StudyFolder, read_rows
from tests.conftest import Command
from tests.test_cli import PLAN, timeless

PROCESS = [sys.executable, "-c", "from scalesearch.cli import main; main()"]
"""A driver of its own, where one is killed, or would leave Ray in this process."""

SHORT = ["sampler.name=random", "winners.top=0", "baselines={}", "threads=1"]

WIDER = "band.macs={min: 4M, max: 6M}"


@pytest.fixture
def plan(coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plan over the tiny COCO folder, in the working directory, with a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "tiny.yaml"
    file.write_text(PLAN.format(folder=coco))
    return file


def options(*changes: str) -> list[str]:
    return [word for change in (*SHORT, *changes) for word in ("--set", change)]


def workers_of(driver: int) -> Iterator[int]:
    """The processes that the driver spawned, without multiprocessing's own."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == driver and b"spawn_main" in (folder / "cmdline").read_bytes():
                yield int(folder.name)
        except (FileNotFoundError, ProcessLookupError, IndexError):
            continue


def started(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PROCESS, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def until(found: object, seconds: float = 300) -> None:
    """Waits for the callable to be true."""
    deadline = time.monotonic() + seconds
    while not found():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def test_both_workers_are_killed_and_nothing_is_lost(plan: Path, tmp_path: Path) -> None:
    driver = started(tmp_path, "search", "tiny.yaml", "--out", "study", "--workers", "2", *options("trials=5", WIDER))
    try:
        until(lambda: len(list(workers_of(driver.pid))) == 2)
        for worker in list(workers_of(driver.pid)):
            os.kill(worker, signal.SIGKILL)  # each is importing torch, or has begun its training
        out, err = driver.communicate(timeout=600)
    finally:
        driver.kill()
    assert driver.returncode == 0, err
    rows = read_rows(tmp_path / "study")
    assert Counter(row.ordinal for row in rows) == dict.fromkeys(range(5), 1)
    assert all(row.state == "complete" and row.final["ap"] is not None for row in rows)
    assert len({row.spec_id for row in rows}) == 5
    lost = [line for line in out.splitlines() if line.endswith("; sent again")]
    assert len(lost) <= 2 and all("ended by SIGKILL" in line for line in lost)
    left = list((tmp_path / "study" / "tasks").glob("*"))
    assert left == []


def test_a_ray_cluster_of_this_machine_gives_the_same_rows(plan: Path, tmp_path: Path, command: Command) -> None:
    pytest.importorskip("ray")
    one = command("search", "tiny.yaml", "--out", "one", "--workers", "1", *options("trials=3"))
    assert one.status == 0, one.err
    words = ["search", "tiny.yaml", "--out", "ray", "--ray", "local", "--storage", "sqlite:///all.db"]
    driver = started(tmp_path, *words, *options("trials=3"))
    out, err = driver.communicate(timeout=600)
    assert driver.returncode == 0, err
    assert " trainings at a time, 1 CPU each" in out
    assert timeless(read_rows(tmp_path / "one")) == timeless(read_rows(tmp_path / "ray"))
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/all.db")
    found = optuna.load_study(study_name="tiny", storage=storage)
    assert [trial.state.name for trial in found.trials] == ["COMPLETE"] * 3
    assert not (tmp_path / "ray" / "optuna.journal").exists()
    storage.remove_session()
    storage.engine.dispose()  # Python 3.13 warns of a connection that is left open


def test_a_second_driver_is_refused_while_the_first_lives(
    coco: Path, plan: Path, tmp_path: Path, command: Command
) -> None:
    words = ["search", "tiny.yaml", "--out", "study", *options("trials=1")]
    first = StudyFolder.open(
        tmp_path / "study", read_plan(plan, options("trials=1")[1::2]), data=open_data(coco).fingerprint
    )
    with first:
        second = command(*words)
    assert second.status == 2
    assert f"only one process may write a study, but process {os.getpid()} on " in second.err
    assert second.err.count("\n") == 1
    assert command(*words).status == 0


def test_two_workers_and_then_one_for_more_trials_give_the_rows_of_one(
    plan: Path, tmp_path: Path, command: Command
) -> None:
    for out, trials, workers in (("one", 4, "1"), ("two", 2, "2"), ("two", 4, "1")):
        done = command("search", "tiny.yaml", "--out", out, "--workers", workers, *options(f"trials={trials}"))
        assert done.status == 0, done.err
        assert Counter(row.ordinal for row in read_rows(tmp_path / out)) == dict.fromkeys(range(trials), 1)
    assert timeless(read_rows(tmp_path / "two")) == timeless(read_rows(tmp_path / "one"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--storage", "sqlite:////nowhere/all.db"],
            "--storage must be one that Optuna can open, but sqlite:////nowher",
        ),
        (["--storage", "no/such/folder/a.journal"], "--storage is a URL or a journal file in an existing folder"),
        (["--gpus-per-task", "1"], "--cpus-per-task and --gpus-per-task are for --ray"),
        (["--workers", "0"], "Invalid value for '--workers'"),
    ],
)
def test_a_place_that_is_not_there_is_one_line_before_any_training(
    plan: Path, tmp_path: Path, arguments: list[str], message: str, command: Command
) -> None:
    done = command("search", "tiny.yaml", "--out", "study", *arguments)
    assert done.status == 2, done.out
    assert message in done.err and done.err.count("\n") == 1
    assert not (tmp_path / "study").exists()


def test_ray_that_is_not_installed_or_not_there_is_one_line(
    plan: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as hidden:
        hidden.setitem(sys.modules, "ray", None)
        done = command("search", "tiny.yaml", "--ray", "auto")
    assert done.status == 2
    assert done.err == "scalesearch: --ray needs the package ray: pip install 'scalesearch[ray]'\n"
    pytest.importorskip("ray")
    done = command("search", "tiny.yaml", "--ray", "127.0.0.1:1")
    assert done.status == 2
    assert "none answers at 127.0.0.1:1" in done.err and done.err.count("\n") == 1
