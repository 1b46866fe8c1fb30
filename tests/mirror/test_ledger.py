"""The ledger: what it tells, wherever it lies; that it is written again when it is lost, torn or locked."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from scalesearch.execute.executor import InProcess
from scalesearch.mirror.ledger import OptunaLedger
from scalesearch.mirror.storage import FILE, IDENTITY, LedgerError, trial_storage
from scalesearch.records.front import best_trials
from scalesearch.records.trials import Trial
from scalesearch.study.driver import run_study
from scalesearch.study.study import Study
from tests.trainings import learn

POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


@pytest.fixture
def searched(study: Study) -> Study:
    """Twelve complete trials, by ordinal."""
    run_study(study, InProcess(learn))
    return study


def ledger(study: Study, storage: str | None = None, name: str = "toy", folder: Path | None = None) -> OptunaLedger:
    return OptunaLedger(folder or study.folder.path, name, ["ap", "macs"], study.unit.axes, storage)


def read(study: Study, storage: str | None = None, name: str = "toy") -> optuna.Study:
    """The study as anyone reads it."""
    there = trial_storage(storage, study.folder.path).open()
    return optuna.load_study(study_name=name, storage=there)


def stopped(trial: Trial) -> Trial:
    """The trial, as if it had been stopped at epoch 1 of more."""
    at = {"epochs_done": 1, "curve": ((1, {"ap": 0.1}),), "final": {"ap": 0.1}}
    return replace(trial, rows=tuple(replace(row, state="stopped", **at) for row in trial.rows))


def failed(trial: Trial) -> Trial:
    rows = [replace(row, state="failed", reason="the loss was nan at step 7", final={}) for row in trial.rows]
    return replace(trial, rows=tuple(rows))


def assert_tells(found: optuna.Study, trials: list[Trial]) -> None:
    by_ordinal = {trial.user_attrs["ordinal"]: trial for trial in found.get_trials()}
    assert sorted(by_ordinal) == [trial.ordinal for trial in trials]
    for trial in trials:
        there = by_ordinal[trial.ordinal]
        assert there.params == dict(trial.point)
        assert there.values == (trial.values(["ap", "macs"]) if trial.complete else None)


def test_states_values_and_attributes(searched: Study) -> None:
    trials = searched.trials()
    trials[2], trials[5] = failed(trials[2]), stopped(trials[5])
    ledger(searched).keep(trials, over=True)
    found = read(searched)
    assert_tells(found, trials)
    assert found.metric_names == ["AP", "MACs"]
    assert [d.name for d in found.directions] == ["MAXIMIZE", "MINIMIZE"]
    states = {trial.user_attrs["ordinal"]: trial.state for trial in found.trials}
    assert [n for n, state in states.items() if state == TrialState.FAIL] == [2]
    assert [n for n, state in states.items() if state == TrialState.PRUNED] == [5]
    one = {trial.user_attrs["ordinal"]: trial for trial in found.trials}
    assert one[2].user_attrs["reason"] == "the loss was nan at step 7"
    assert one[5].user_attrs["AP at epoch 1"] == 0.1
    assert one[5].intermediate_values == {}
    row = trials[0].rows[0]
    assert one[0].user_attrs["AP"] == round(row.final["ap"] or 0, 4) and one[0].user_attrs["MACs"] == row.cost["macs"]
    assert one[0].user_attrs["detector"].endswith(f"parameters at {row.spec.size[0]}x{row.spec.size[1]}")
    assert all(t.duration is not None and abs(t.duration.total_seconds() - 1) < 1e-3 for t in found.trials)


def test_a_stopped_trial_runs_until_the_search_is_over_or_it_has_gone_on(searched: Study) -> None:
    whole = searched.trials()
    now = [stopped(trial) if trial.ordinal in (1, 3) else trial for trial in whole]
    keeper = ledger(searched)
    keeper.keep(now)
    states = [trial.state for trial in read(searched).trials]
    assert states.count(TrialState.RUNNING) == 2
    now[1] = whole[1]  # it was promoted
    keeper.keep(now)
    keeper.keep(now, over=True)
    after = read(searched).trials
    assert [t.state for t in after].count(TrialState.COMPLETE) == 11
    assert [t.user_attrs["ordinal"] for t in after if t.state == TrialState.PRUNED] == [3]
    assert_tells(read(searched), now)
    # More trials were asked for, and the stopped one went on: a finished trial does not change, so all is new.
    ledger(searched).keep(whole, over=True)
    assert_tells(read(searched), whole)


def test_samplers_can_be_pointed_at_the_ledger(searched: Study) -> None:
    trials = searched.trials()
    trials[3], trials[5], trials[6] = failed(trials[3]), stopped(trials[5]), stopped(trials[6])
    ledger(searched).keep(trials, over=True)
    found = read(searched)
    found.sampler = optuna.samplers.TPESampler(seed=0, n_startup_trials=0)
    assert found.ask(fixed_distributions=found.trials[0].distributions).params


def damages(path: Path) -> Iterator[None]:
    """The file lost, torn in four ways, locked by a dead process, cut to half, and with other trials."""
    whole = path.read_bytes()
    for content in (None, whole[:500], whole[:-7], b"torn", b""):
        path.unlink() if content is None else path.write_bytes(content)
        yield
    path.with_name(path.name + ".lock").write_text("")
    yield
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: len(lines) // 2]))
    yield
    path.write_bytes(whole.replace(b'"ordinal":3', b'"ordinal":4'))
    yield


def test_it_is_written_again_when_it_is_lost_torn_or_locked(searched: Study) -> None:
    trials = searched.trials()
    assert_tells(read(searched), trials)
    for _ in damages(searched.folder.path / FILE):
        ledger(searched).keep(trials)
        assert_tells(read(searched), trials)


def test_what_is_there_is_not_written_again(searched: Study) -> None:
    path = searched.folder.path / FILE
    keeper = ledger(searched)
    keeper.keep(searched.trials(), over=True)
    before = path.read_bytes()
    keeper.keep(searched.trials(), over=True)
    ledger(searched).keep(searched.trials(), over=True)
    assert path.read_bytes() == before


@pytest.fixture
def dashboard(searched: Study) -> Iterator[str]:
    """The address of an optuna-dashboard over the journal of a study with a trial of each state."""
    if importlib.util.find_spec("optuna_dashboard") is None:
        pytest.skip("optuna-dashboard is not installed")
    trials = searched.trials()
    trials[2], trials[5] = failed(trials[2]), stopped(trials[5])
    ledger(searched).keep(trials, over=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("optuna-dashboard")
    command = [str(program), str(searched.folder.path / FILE), "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and server.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/api/studies"
    finally:
        server.kill()
        server.wait()


def test_the_dashboard_shows_names_states_parameters_and_the_front(searched: Study, dashboard: str) -> None:
    def asked(address: str) -> Any:
        with urllib.request.urlopen(address, timeout=300) as answer:
            return json.load(answer)

    (summary,) = asked(dashboard)["study_summaries"]
    assert (summary["study_name"], summary["directions"]) == ("toy", ["maximize", "minimize"])
    page = asked(f"{dashboard}/{summary['study_id']}?after=0")
    assert page["objective_names"] == ["AP", "MACs"]
    states = {2: "Fail", 5: "Pruned"}
    assert [trial["state"] for trial in page["trials"]] == [states.get(i, "Complete") for i in range(12)]
    assert {param["name"] for param in page["trials"][0]["params"]} == {"topology", "size", "width", "repeats"}
    trials = [trial for trial in searched.trials() if trial.ordinal not in states]
    front = {trial.ordinal for trial in best_trials(trials, ["ap", "macs"])}
    assert {trial["number"] for trial in page["best_trials"]} == front
    sortable = {attribute["key"] for attribute in page["union_user_attrs"] if attribute["sortable"]}
    assert {"AP", "AP50", "MACs", "parameters", "epochs", "seconds"} <= sortable


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server of our own on a socket in a folder of its own."""
    pytest.importorskip("psycopg")
    if not POSTGRES:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    if os.getuid() == 0 and not shutil.which("runuser"):
        pytest.skip("a PostgreSQL server does not run as root, and there is no runuser")
    folder = Path("/tmp") / f"pg-{os.getpid()}"  # a socket's path is at most 107 bytes long
    folder.mkdir(mode=0o777)
    user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    if user:
        shutil.chown(folder, "postgres")
    binaries, data = POSTGRES[-1].parent, folder / "data"

    def ran(program: str, *arguments: str) -> None:
        command = [*user, str(binaries / program), "-D", str(data), *arguments]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=300)

    try:
        ran("initdb", "-A", "trust", "-U", "tester", "--no-sync")
        ran("pg_ctl", "-w", "-l", str(folder / "log"), "-o", f"-k {folder} -c listen_addresses= -c fsync=off", "start")
        yield f"postgresql://tester@/postgres?host={folder}"
    finally:
        if (data / "postmaster.pid").exists():
            ran("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture(params=["journal", "sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A storage that several studies share."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres"))
    return str(tmp_path / "shared.journal") if request.param == "journal" else f"sqlite:///{tmp_path}/shared.db"


def test_several_studies_share_a_storage(searched: Study, shared: str, tmp_path: Path) -> None:
    trials = searched.trials()[:4]
    others = trials[:2]
    ledger(searched, shared).keep(trials[:3])
    ledger(searched, shared, "other", tmp_path / "elsewhere").keep(others)
    ledger(searched, shared).keep(trials)
    # What is wrong in one is written again, and the other stays.
    trials[1] = failed(trials[1])
    ledger(searched, shared).keep(trials)
    assert_tells(read(searched, shared), trials)
    assert_tells(read(searched, shared, "other"), others)
    # A study of the same name from another folder must not be overwritten.
    with pytest.raises(LedgerError, match="has a study 'toy' that was not written from this folder; give the plan ano"):
        ledger(searched, shared, folder=tmp_path / "elsewhere")
    # The folder may have moved.
    (tmp_path / "moved").mkdir()
    shutil.copy(searched.folder.path / IDENTITY, tmp_path / "moved")
    ledger(searched, shared, folder=tmp_path / "moved").keep(trials)
    optuna.delete_study(study_name="toy", storage=trial_storage(shared).open())
    optuna.delete_study(study_name="other", storage=trial_storage(shared).open())


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        (
            "postgresql://127.0.0.1:1/none",
            "must be one that Optuna can open, but postgresql+psycopg://127.0.0.1:1/none",
        ),
        ("sqlite:////nowhere/at/all.db", "unable to open database file"),
        ("nonsense://x/y", "nonsense"),
        ("http://", "--storage"),
        ("nowhere/at/all.journal", "--storage is a URL or a journal file in an existing folder, but nowhere/at"),
        ("/tmp", "is a folder"),
    ],
)
def test_a_storage_that_cannot_be_had_is_one_line(study: Study, storage: str, message: str) -> None:
    if storage.startswith("postgresql"):
        pytest.importorskip("psycopg")
    with pytest.raises(LedgerError, match=message.replace("+", r"\+")) as error:
        ledger(study, storage)
    assert "\n" not in str(error.value)


def test_a_password_is_not_shown(study: Study) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(LedgerError) as error:
        ledger(study, "postgresql://me:secret@127.0.0.1:1/none")
    assert "secret" not in str(error.value)


def test_a_storage_that_goes_away_ends_no_study(
    searched: Study, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    storage = f"sqlite:///{folder}/shared.db"
    keeper = OptunaLedger(searched.folder.path, "toy", ["ap", "macs"], searched.unit.axes, storage)
    trials = searched.trials()[:4]
    keeper.keep(trials[:2])
    shutil.rmtree(folder)
    keeper.keep(trials[:3])
    keeper.keep(trials)
    assert len(said.messages) == 1 and said.messages[0].startswith(
        f"the Optuna storage {storage} could not be updated ("
    )
    folder.mkdir()
    keeper.keep(trials, over=True)
    assert len(said.messages) == 1
    assert_tells(read(searched, storage), trials)
