"""Storages of a ledger: a journal file, or a database given by its URL."""

from __future__ import annotations

import json
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.storages.journal._file import get_lock_file
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from scalesearch.io.publish import publish
from scalesearch.io.target import kind_of
from scalesearch.io.text import hide_secrets, without_secrets

FILE = "optuna.journal"
"""Name of the journal in a study's folder."""
IDENTITY = "optuna.id"
"""Name of the file by which a ledger in a shared storage recognises the study's folder."""
_DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql"}
_WAIT = 10
"""Seconds that a server has to answer."""


class LedgerError(ValueError):
    """A storage cannot be used; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class TrialStorage:
    """A storage. The `own` one of a study's folder holds only that study and may be removed; others may hold more."""

    url: str = ""
    """URL of a database; where empty, `file` is a journal."""
    file: Path | None = None
    own: bool
    shown: str

    def open(self) -> BaseStorage:
        """Open Optuna's storage. Raises LedgerError where there is none; a torn own file raises Optuna's exception."""
        if self.own:
            return _journal(self.file, own=True)
        with self.explained():
            return _database(self.url) if self.url else _journal(self.file, own=False)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn any exception of Optuna, SQLAlchemy or a database driver into a LedgerError without passwords."""
        try:
            yield
        except LedgerError as error:
            raise LedgerError(self.clean(str(error))) from None
        except Exception as error:  # noqa: BLE001
            raise LedgerError(
                f"--storage must be one that Optuna can open, but {self.shown}: {self.clean(line(error))}; mend it, or "
                "leave --storage out for a file in the study's folder"
            ) from None

    def clean(self, text: str) -> str:
        """Return the text without the passwords of the URL."""
        return hide_secrets(text, self.url) if self.url else text

    def remove(self) -> None:
        """Remove the journal in the study's own folder."""
        assert self.own and self.file is not None, "a shared storage holds other studies too"
        self.file.unlink(missing_ok=True)


def trial_storage(storage: str | None, folder: Path = Path()) -> TrialStorage:
    """Return the storage that `--storage` names: a database for text with ://, else a journal; None: one in the folder.

    Raises LedgerError for what is neither, and for a database whose driver is not installed.
    """
    if storage is None:
        return TrialStorage(file=folder / FILE, own=True, shown=str(folder / FILE))
    if "://" not in storage:
        file = Path(storage)
        if file.is_dir() or not file.absolute().parent.is_dir():
            raise LedgerError(
                f"--storage is a URL or a journal file in an existing folder, but {storage} is "
                f"{'a folder' if file.is_dir() else 'in none'}; try sqlite:///{file.name}.db"
            )
        _check_journal(file)
        return TrialStorage(file=file, own=False, shown=storage)
    try:
        url = make_url(storage)
    except (ArgumentError, ValueError):  # ValueError: a wrong port
        raise LedgerError(
            f"--storage is a URL such as sqlite:///trials.db or postgresql://user@host/database, but got "
            f"{without_secrets(storage)!r}"
        ) from None
    if url.drivername in _DRIVERS:
        # SQLAlchemy's default driver depends on its version.
        url = url.set(drivername=f"{url.drivername}+{_DRIVERS[url.drivername]}")
    whole = url.render_as_string(hide_password=False)
    return TrialStorage(url=whole, own=False, shown=without_secrets(whole))


# ---- a journal file ----

_DATABASE = b"SQLite format 3\0"
_SUFFIXES = (".db", ".sqlite", ".sqlite3")
"""Suffixes by which a database is recognised before it exists."""
_BEGINNING = b'{"op_code":'
"""Beginning of each line of Optuna's journal."""


def _check_journal(file: Path) -> None:
    """Raise LedgerError unless `file` is Optuna's journal, whole or torn at its end, or does not exist."""
    kind = kind_of(file)
    what, mend = "", "name another file, or a database, as sqlite:///trials.db"
    if kind:
        what = f"is {kind}"
    elif not file.exists() or not file.stat().st_size:
        if file.suffix.lower() in _SUFFIXES:
            what, mend = "is named as a database is", f"write sqlite:///{file}"
    else:
        with file.open("rb") as opened:
            if opened.read(len(_DATABASE)) == _DATABASE:
                what, mend = "is an SQLite database", f"write sqlite:///{file}"
            elif not _is_journal(file):
                what, mend = "is something else", f"name another file, or a database, as sqlite:///{file.name}.db"
    if what:
        raise LedgerError(f"--storage without :// must be a journal of Optuna's, but {file} {what}; {mend}")
    lock = file.with_name(file.name + ".lock")
    if not lock.is_symlink() and lock.exists() and (kind_of(lock) or lock.stat().st_size):
        # Optuna's lock is an empty file or a link, and Optuna removes an old one.
        raise LedgerError(f"--storage {file} needs {lock.name} as its lock, but that is something else; {mend}")


def _is_journal(file: Path) -> bool:
    """Whether each line is an operation of Optuna's; the last may be torn."""
    with file.open("rb") as lines:
        for number, one in enumerate(lines):
            if not _is_operation(one) and (one.endswith(b"\n") or not _is_torn(one, first=number == 0)):
                return False
    return True


def _is_operation(text: bytes) -> bool:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and isinstance(found.get("op_code"), int) and isinstance(found.get("worker_id"), str)


def _is_torn(text: bytes, *, first: bool) -> bool:
    """Whether this can be the beginning of an operation, written last by a process that died.

    After a crash of the machine, unwritten bytes may read as zeros.
    """
    if not text.strip(b"\0"):
        return not first
    return text.startswith(_BEGINNING) or _BEGINNING.startswith(text)


def _journal(file: Path | None, *, own: bool) -> BaseStorage:
    assert file is not None, "a trial storage is a database or a file"
    if not own:
        _check_journal(file)
    lock = JournalFileOpenLock(str(file))  # the lock of a dead process is released after 30 s
    if own:
        # Only the driver writes, and it holds the study's lock: a lock file left here is of a dead process.
        file.with_name(file.name + ".lock").unlink(missing_ok=True)
    with get_lock_file(lock):
        _mend(file)
    return JournalStorage(JournalFileBackend(str(file), lock_obj=lock))


def _mend(file: Path) -> None:
    """Repair a journal's last line: add a missing newline, or remove a line that a dead process left half written.

    Otherwise the next operation would be appended to that line. Any other file is left alone.
    """
    if not file.is_file() or not _is_journal(file):
        return
    with file.open("rb+") as opened:
        content = opened.read()
        last = content[content.rfind(b"\n") + 1 :]
        if _is_operation(last):
            opened.write(b"\n")
        elif last:
            opened.truncate(len(content) - len(last))


# ---- a database ----

_MARK = "version_info"
"""The table by which Optuna recognises its own database."""
_OPTUNAS = {"studies", "trials", "study_directions", "trial_params", "trial_values", "alembic_version", _MARK}


def _check_database(url: str, engine: dict[str, Any]) -> None:
    """Raise LedgerError where the database has tables of another program, which Optuna's would mix or collide with."""
    parsed = make_url(url)
    lite = parsed.get_backend_name() == "sqlite"
    if lite and not (parsed.database and Path(parsed.database).is_file()):
        return  # a new file, or a database in memory
    opened = sqlalchemy.create_engine(url, **engine)
    try:
        tables = set(sqlalchemy.inspect(opened).get_table_names())
    finally:
        opened.dispose()
    if _MARK not in tables and (tables if lite else tables & _OPTUNAS):
        raise LedgerError(
            f"--storage is a database of Optuna's or a new one, but {without_secrets(url)} has tables of something else "
            f"({', '.join(sorted(tables)[:3])}); name another database"
        )


def _database(url: str) -> BaseStorage:
    parsed = make_url(url)
    server = parsed.get_backend_name() in ("postgresql", "mysql", "mariadb")
    # No connection is kept: minutes or hours lie between two trials.
    arguments: dict[str, Any] = {"poolclass": NullPool}
    arguments |= {"connect_args": {"connect_timeout": _WAIT}} if server else {}
    try:
        _check_database(url, arguments)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return RDBStorage(url, engine_kwargs=arguments)
    except ImportError as error:
        missing = getattr(error.__cause__ or error, "name", None) or parsed.get_driver_name()
        mend = "'scalesearch[postgres]'" if missing == _DRIVERS["postgresql"] else missing
        raise LedgerError(f"--storage {parsed.drivername} needs the package {missing}: pip install {mend}") from None


def line(error: Exception) -> str:
    """Return the first line of the error's text, without SQL's background, or its type where the text is empty."""
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__


def identity(folder: Path) -> str:
    """Return the id by which a shared storage recognises the folder, also after a move; made at the first call."""
    file = folder / IDENTITY
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        publish(file, uuid.uuid4().hex + "\n")
    return file.read_text().strip()
