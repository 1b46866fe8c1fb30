"""Where a ledger can lie: a journal file, or a database by its URL."""

from __future__ import annotations

import os
import uuid
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.storages.journal._file import get_lock_file
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from scalesearch.records.folder import write_whole

FILE = "optuna.journal"
"""The journal in a study's folder."""
IDENTITY = "optuna.id"
"""In the folder of a study whose ledger lies elsewhere: by which the ledger knows the folder again."""
_DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql"}
_WAIT = 10
"""Seconds for a server to answer."""


class LedgerError(ValueError):
    """A storage that cannot be had, and the mend."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A storage. One in the study's folder holds this study alone and may be removed; another may hold more."""

    url: str = ""
    """A database; else `file` is a journal."""
    file: Path | None = None
    own: bool
    shown: str

    def open(self) -> BaseStorage:
        """Optuna's storage. LedgerError where there is none; an own file that is torn raises what it makes Optuna raise."""
        if self.own:
            return _journal(self.file, own=True)
        try:
            return _database(self.url) if self.url else _journal(self.file, own=False)
        except LedgerError:
            raise
        except Exception as error:  # noqa: BLE001  whatever Optuna, SQLAlchemy or a database's driver raises
            raise LedgerError(
                f"--storage must be one that Optuna can open, but {self.shown}: {line(error)}; mend it, or leave "
                "--storage out for a file in the study's folder"
            ) from None

    def remove(self) -> None:
        """Removes what lies in the study's own folder."""
        assert self.own and self.file is not None, "a shared storage holds other studies too"
        self.file.unlink(missing_ok=True)


def place(storage: str | None, folder: Path = Path()) -> Place:
    """The place that `--storage` names: None is a journal in the folder, a text with :// a database, else a journal.

    Raises LedgerError for what is neither, and for a database whose driver is not installed.
    """
    if storage is None:
        return Place(file=folder / FILE, own=True, shown=str(folder / FILE))
    if "://" not in storage:
        file = Path(storage)
        if file.is_dir() or not file.absolute().parent.is_dir():
            raise LedgerError(
                f"--storage is a URL or a journal file in a folder that is there, but {storage} is "
                f"{'a folder' if file.is_dir() else 'in none'}; try sqlite:///{file.name}.db"
            )
        return Place(file=file, own=False, shown=storage)
    try:
        url = make_url(storage)
    except ArgumentError:
        raise LedgerError(
            f"--storage is a URL such as sqlite:///trials.db or postgresql://user@host/database, but got {storage!r}"
        ) from None
    if url.drivername in _DRIVERS:
        # SQLAlchemy's own choice depends on its version.
        url = url.set(drivername=f"{url.drivername}+{_DRIVERS[url.drivername]}")
    hidden, whole = (url.render_as_string(hide_password=hide) for hide in (True, False))
    return Place(url=whole, own=False, shown=hidden)


def _journal(file: Path | None, *, own: bool) -> BaseStorage:
    assert file is not None, "a place is a database or a file"
    lock = JournalFileOpenLock(str(file))  # a dead process's is released after 30 s
    if own:
        # Only the driver writes, and it holds the study's lock: a lock file left here is a dead process's.
        file.with_name(file.name + ".lock").unlink(missing_ok=True)
    with get_lock_file(lock):
        _mend(file)
    return JournalStorage(JournalFileBackend(str(file), lock_obj=lock))


def _mend(file: Path) -> None:
    """Cuts a line that a dead process left half written: the next one would be written into it."""
    if file.exists() and (content := file.read_bytes()) and not content.endswith(b"\n"):
        os.truncate(file, content.rfind(b"\n") + 1)


def _database(url: str) -> BaseStorage:
    parsed = make_url(url)
    server = parsed.get_backend_name() in ("postgresql", "mysql", "mariadb")
    # Minutes or hours lie between two trials: no connection is kept.
    arguments: dict[str, Any] = {"poolclass": NullPool}
    arguments |= {"connect_args": {"connect_timeout": _WAIT}} if server else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return RDBStorage(url, engine_kwargs=arguments)
    except ImportError as error:
        missing = getattr(error.__cause__ or error, "name", None) or parsed.get_driver_name()
        mend = "'scalesearch[postgres]'" if missing == _DRIVERS["postgresql"] else missing
        raise LedgerError(f"--storage {parsed.drivername} needs the package {missing}: pip install {mend}") from None


def line(error: Exception) -> str:
    """The error in one line: its type where it says nothing, and not SQL's page of background."""
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__


def identity(folder: Path) -> str:
    """What a shared storage knows the folder by, wherever it is moved; made at the first call."""
    file = folder / IDENTITY
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(file, uuid.uuid4().hex + "\n")
    return file.read_text().strip()
