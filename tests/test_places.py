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

from scalesearch.records.folder import read_rows
from tests.test_cli import COMMAND, PLAN, scalesearch, timeless

SHORT = ["sampler.name=random", "winners.top=0", "baselines={}", "threads=1"]

WIDER = "band.macs={min: 4M, max: 6M}"


@pytest.fixture
def plan(coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plan over the tiny COCO folder, with a cache of its own."""
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
        [*COMMAND, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def until(found: object, seconds: float = 90) -> None:
    """Waits for the callable to be true."""
    deadline = time.monotonic() + seconds
    while not found():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def test_two_of_four_workers_are_killed_and_nothing_is_lost(plan: Path, tmp_path: Path) -> None:
    driver = started(tmp_path, "search", "tiny.yaml", "--out", "study", "--workers", "4", *options("trials=8", WIDER))
    try:
        until(lambda: len(list(workers_of(driver.pid))) == 4)
        for worker in list(workers_of(driver.pid))[:2]:
            os.kill(worker, signal.SIGKILL)  # each was started for a training, and is importing torch
        out, err = driver.communicate(timeout=240)
    finally:
        driver.kill()
    assert driver.returncode == 0, err
    rows = read_rows(tmp_path / "study")
    assert Counter(row.ordinal for row in rows) == dict.fromkeys(range(8), 1)
    assert all(row.state == "complete" and row.final["ap"] is not None for row in rows)
    assert len({row.spec_id for row in rows}) == 8
    lost = [line for line in out.splitlines() if line.endswith("; sent again")]
    assert len(lost) == 2 and all("ended by SIGKILL" in line for line in lost)
    left = list((tmp_path / "study" / "tasks").glob("*"))
    assert left == []


def test_a_ray_cluster_of_this_machine_gives_the_same_rows(plan: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    for out, place in (("one", ["--workers", "1"]), ("ray", ["--ray", "local", "--storage", "sqlite:///all.db"])):
        done = scalesearch("search", "tiny.yaml", "--out", out, *place, *options("trials=3"), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert " trainings at a time, 1 CPU each" in done.stdout
    assert timeless(read_rows(tmp_path / "one")) == timeless(read_rows(tmp_path / "ray"))
    found = optuna.load_study(study_name="tiny", storage=f"sqlite:///{tmp_path}/all.db")
    assert [trial.state.name for trial in found.trials] == ["COMPLETE"] * 3
    assert not (tmp_path / "ray" / "optuna.journal").exists()
    found._storage.remove_session()  # type: ignore[attr-defined]


def test_a_second_driver_is_refused_while_the_first_lives(plan: Path, tmp_path: Path) -> None:
    command = ["search", "tiny.yaml", "--out", "study", *options("trials=1", "recipe.epochs=100000")]
    first = started(tmp_path, *command)
    try:
        until(lambda: (tmp_path / "study" / "plan.yaml").exists())
        second = scalesearch(*command, cwd=tmp_path)
        assert first.poll() is None
    finally:
        first.kill()
        first.communicate()
    assert second.returncode == 2
    assert f"one process writes a study, and process {first.pid} on " in second.stderr
    assert second.stderr.count("\n") == 1


def test_a_study_goes_on_with_more_trials_and_another_number_of_workers(plan: Path, tmp_path: Path) -> None:
    for trials, workers in ((2, "2"), (4, "1")):
        command = ["search", "tiny.yaml", "--out", "study", "--workers", workers, *options(f"trials={trials}")]
        done = scalesearch(*command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert Counter(row.ordinal for row in read_rows(tmp_path / "study")) == dict.fromkeys(range(trials), 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--storage", "sqlite:////nowhere/all.db"],
            "--storage must be one that Optuna can open, but sqlite:////nowher",
        ),
        (["--storage", "no/such/folder/a.journal"], "--storage is a URL or a journal file in a folder that is there"),
        (["--gpus-per-task", "1"], "--cpus-per-task and --gpus-per-task are of --ray"),
        (["--workers", "0"], "Invalid value for '--workers'"),
    ],
)
def test_a_place_that_is_not_there_is_one_line_before_any_training(
    plan: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = scalesearch("search", "tiny.yaml", "--out", "study", *arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stdout
    assert message in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "study").exists()


def test_ray_that_is_not_installed_or_not_there_is_one_line(plan: Path, tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['ray'] = None; from scalesearch.cli import main; main()"
    command = [sys.executable, "-c", hidden, "search", "tiny.yaml", "--ray", "auto"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr == "scalesearch: --ray needs the package ray: pip install 'scalesearch[ray]'\n"
    pytest.importorskip("ray")
    done = scalesearch("search", "tiny.yaml", "--ray", "127.0.0.1:1", cwd=tmp_path)
    assert done.returncode == 2
    assert "none answers at 127.0.0.1:1" in done.stderr and done.stderr.count("\n") == 1
