"""A storage is opened only where it is Optuna's, or new: nothing else is touched, and no password is shown."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from scalesearch.mirror.storage import LedgerError, trial_storage


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def a_database(file: Path) -> None:
    storage = optuna.storages.RDBStorage(f"sqlite:///{file}")
    optuna.create_study(study_name="theirs", storage=storage)
    storage.engine.dispose()


def a_foreign_database(file: Path) -> None:
    with sqlite3.connect(file) as opened:
        opened.execute("create table customers (name text)")
    opened.close()


def a_binary(file: Path) -> None:
    file.write_bytes(bytes(range(256)) * 9)


def a_text(file: Path) -> None:
    file.write_text("one\ntwo\nthree, without an end")


def a_json(file: Path) -> None:
    file.write_text('{"a": 1}\n')


def other_json_lines(file: Path) -> None:
    file.write_text('{"op_code": "x", "worker_id": 1}\n' * 3)


def a_journal_with_a_foreign_line(file: Path) -> None:
    a_journal(file)
    with file.open("a") as opened:
        opened.write("a note of mine\n")


def a_number(file: Path) -> None:
    file.write_text("12\n")


def deep_json(file: Path) -> None:
    file.write_text("[" * 100_000)


def a_journal(file: Path) -> None:
    backend = JournalFileBackend(str(file), lock_obj=JournalFileOpenLock(str(file)))
    optuna.create_study(study_name="theirs", storage=JournalStorage(backend)).set_user_attr("a", "é")


FOREIGN = [
    (a_database, "is an SQLite database; write sqlite:///x"),
    (a_foreign_database, "is an SQLite database; write sqlite:///x"),
    *(
        (make, "is something else; name another file, or a database, as sqlite:///x.db")
        for make in (a_binary, a_text, a_json, other_json_lines, a_journal_with_a_foreign_line, a_number, deep_json)
    ),
]


@pytest.mark.parametrize(("make", "reason"), FOREIGN)
def test_a_file_that_is_no_journal_is_refused_in_one_line_and_stays(make: Callable[[Path], None], reason: str) -> None:
    make(Path("x"))
    before = Path("x").read_bytes()
    with pytest.raises(LedgerError) as error:
        trial_storage("x").open()
    assert str(error.value) == f"--storage without :// must be a journal of Optuna's, but x {reason}"
    assert Path("x").read_bytes() == before and os.listdir() == ["x"]


@pytest.mark.parametrize("name", ["new.db", "new.sqlite3", "new.SQLite"])
def test_a_new_file_that_is_named_as_a_database_is_no_journal(name: str) -> None:
    with pytest.raises(LedgerError, match=f"but {name} is named as a database is; write sqlite:///{name}$"):
        trial_storage(name)
    assert os.listdir() == []


def test_a_pipe_and_a_device_are_refused_at_once() -> None:
    os.mkfifo("pipe")
    with pytest.raises(LedgerError, match="but pipe is a pipe"):
        trial_storage("pipe")
    with pytest.raises(LedgerError, match="but /dev/full is a device"):
        trial_storage("/dev/full")


def test_a_lock_that_is_not_optunas_stays() -> None:
    Path("poetry.lock").write_text("[package]\n")
    with pytest.raises(LedgerError, match=r"needs poetry\.lock as its lock, but that is something else"):
        trial_storage("poetry")
    assert os.listdir() == ["poetry.lock"]


TORN = [b"{", b'{"op_code":4,"worker_id":"a', b'{"op_code":4,"worker_id":"abc","x":"\xc3', bytes(100)]


@pytest.mark.parametrize("torn", TORN)
def test_a_torn_last_line_is_cut_and_the_others_stay(torn: bytes) -> None:
    a_journal(Path("x"))
    whole = Path("x").read_bytes()
    Path("x").write_bytes(whole + torn)
    study = optuna.load_study(study_name="theirs", storage=trial_storage("x").open())
    assert study.user_attrs == {"a": "é"} and Path("x").read_bytes() == whole


def test_a_last_line_that_lacks_its_end_alone_is_kept() -> None:
    a_journal(Path("x"))
    whole = Path("x").read_bytes()
    Path("x").write_bytes(whole[:-1])
    assert optuna.load_study(study_name="theirs", storage=trial_storage("x").open()).user_attrs == {"a": "é"}
    assert Path("x").read_bytes() == whole


def test_every_line_that_optuna_writes_is_known_as_its_own() -> None:
    storage = trial_storage("x").open()
    study = optuna.create_study(study_name="a", storage=storage, directions=["maximize", "minimize"])
    study.enqueue_trial({"w": 1})
    trial = study.ask()
    trial.suggest_int("w", 1, 3)
    trial.suggest_categorical("c", ["\n", None, 1.5])
    trial.set_user_attr("nan", float("nan"))
    study.tell(trial, [1.0, 2.0])
    study.set_user_attr("b", "MACs")
    optuna.create_study(study_name="b", storage=storage)
    optuna.delete_study(study_name="b", storage=storage)
    codes = {json.loads(line)["op_code"] for line in Path("x").read_bytes().splitlines()}
    assert len(codes) >= 7
    again = optuna.load_study(study_name="a", storage=trial_storage("x").open())
    assert again.trials[0].user_attrs.keys() == {"nan"}


def test_a_database_of_something_else_gets_no_tables() -> None:
    a_foreign_database(Path("theirs.db"))
    before = Path("theirs.db").read_bytes()
    with pytest.raises(
        LedgerError, match=r"theirs\.db has tables of something else \(customers\); name another database"
    ):
        trial_storage("sqlite:///theirs.db").open()
    assert Path("theirs.db").read_bytes() == before


def test_a_file_that_is_no_database_stays() -> None:
    a_text(Path("notes.db"))
    before = Path("notes.db").read_bytes()
    with pytest.raises(LedgerError, match="that Optuna can open, but sqlite:///notes.db"):
        trial_storage("sqlite:///notes.db").open()
    assert Path("notes.db").read_bytes() == before


def test_a_database_of_optunas_keeps_its_studies() -> None:
    a_database(Path("all.db"))
    storage = trial_storage("sqlite:///all.db").open()
    optuna.create_study(study_name="ours", storage=storage)
    assert sorted(optuna.get_all_study_names(storage)) == ["ours", "theirs"]
    storage.remove_session()
    storage.engine.dispose()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u@127.0.0.1:1/db?password=s3cretpw",
        "postgresql://u:s3cretpw@127.0.0.1:1/db",
        "postgresql://u@127.0.0.1:1/db?sslpassword=s3cretpw&sslmode=require",
        "postgresql://u@127.0.0.1:1/db?wrong_token=s3cretpw",
        "postgresql://u:s3cretpw@127.0.0.1:port/db",
        "no such thing://u:s3cretpw@host?passwd=s3cretpw",
        "nosuch://u:s3cretpw@host/db?passwd=s3cretpw",
    ],
)
def test_a_password_is_in_no_message(url: str) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(LedgerError) as error:
        trial_storage(url).open()
    assert "s3cretpw" not in str(error.value)
    assert error.value.__suppress_context__, "a traceback would show what was raised before"
