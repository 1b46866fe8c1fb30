"""`StudyFolder`: the folder of one study, and the only code that writes one.

results/<study>/
  plan.yaml       the resolved plan; a study continues only with an equal plan
  rows/*.json     one file a row, written to a temporary file and renamed: each is whole or absent
  sent/*.json     rows without results, of trainings that were sent: what an interrupted study sends again
  results.jsonl   the rows in order, rebuilt from rows/
  .lock           held by the one process that writes; the system releases it when that process dies
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml

from scalesearch.inputs.files import read_whole
from scalesearch.io.lock import try_lock
from scalesearch.io.publish import discard_leftovers, publish
from scalesearch.io.target import claim_folder
from scalesearch.plan.plan import Plan, PlanError, as_yaml, changes, read_plan
from scalesearch.records.row import Row, RowError, TrainingKey, from_json
from scalesearch.records.row_set import RowSet
from scalesearch.records.trials import Trial

PLAN, ROWS, RESULTS, LOCK, SENT = "plan.yaml", "rows", "results.jsonl", ".lock", "sent"
_HOLDER = "process "
"""Beginning of the text in a lock file."""
_ROW = re.compile(r"(?:search|winner|baseline)-.*\.json")
_TORN = re.compile(rf"\.({re.escape(PLAN)}|{re.escape(RESULTS)})\..*\.tmp")
"""Temporary files that a killed process left while it published."""


class StudyError(ValueError):
    """The study cannot be written to or read from this folder; the message says what to do."""


class StudyFolder:
    """A study that this process alone writes. `open` makes it; as a context manager it closes itself."""

    def __init__(self, path: Path, plan: Plan, rows: Iterable[Row], lock: int) -> None:
        self.path = path
        self.plan = plan
        self._rows = RowSet(rows)
        self._lock: int | None = lock

    @classmethod
    def open(cls, path: str | Path, plan: Plan, *, data: str) -> StudyFolder:
        """Begin or continue the study in `path`; `data` is the fingerprint of the data set.

        Raises StudyError where another process writes the study, its plan differs (the message names the keys), its
        rows are of other data or cannot be read, or the folder holds something else.
        """
        path = Path(path)
        inside = _inside(path)
        (path / ROWS).mkdir(parents=True, exist_ok=True)
        lock = _locked(path)
        try:
            read = _read(path)
            rows = [row for row, _ in read]
            begun = _begun_with(path, plan) if rows or inside - {PLAN, LOCK, ROWS, RESULTS} else None
            if other := sorted({row.data for row in rows} - {data}):
                raise StudyError(
                    f"{path}: a study has one data set, but its rows are of the data {other[0]} and {plan.data.source} "
                    f"is {data} now; bring the data back, or begin a new study with --out"
                )
            for name in (PLAN, RESULTS):
                discard_leftovers(path, name)
            discard_leftovers(path / ROWS, "*.json")
            if begun != plan:  # else its text stays, whichever version of scalesearch wrote it
                publish(path / PLAN, plan.to_yaml())
            publish(path / RESULTS, "".join(text for _, text in read))
            folder = cls(path, plan, rows, lock)
        except BaseException:
            os.close(lock)
            raise
        return folder

    def rows(self) -> tuple[Row, ...]:
        """Return all rows, ordered by kind, ordinal, member and seed."""
        return self._rows.rows()

    def trials(self, members: int) -> list[Trial]:
        """Return the search trials that have all their members, by ordinal."""
        return self._rows.trials(members)

    def find(self, row: Row) -> Row | None:
        """Return the stored row with this row's file name if it is of an equal training, else None."""
        return self._rows.find(row)

    def known(self, key: TrainingKey) -> Row | None:
        """Return a complete row of an equal training, of any kind, or None."""
        return self._rows.known(key)

    def write(self, row: Row) -> Path:
        """Write the row to disk atomically; it replaces a row of the same name."""
        if row.spec_id != row.spec.id:
            raise RowError(f"a row says what its spec is, but its spec_id is {row.spec_id} and its spec {row.spec.id}")
        file = self.path / ROWS / row.file_name
        publish(file, row.to_json() + "\n")
        self._rows.add(row)
        (self.path / SENT / row.file_name).unlink(missing_ok=True)
        return file

    def send(self, row: Row) -> None:
        """Note that a training begins; `row` has no results yet. It holds until the training's row is written."""
        file = self.path / SENT / row.file_name
        file.parent.mkdir(exist_ok=True)
        file.write_text(row.to_json() + "\n", encoding="utf-8")  # not synced: a torn one costs a checkpoint

    def sent(self) -> list[Row]:
        """Return the rows noted by `send`, of trainings that an interrupted run left without an end."""
        return [row for row in read_sent(self.path) if self.find(row) is None]

    def collect(self) -> Path:
        """Rebuild results.jsonl from the rows."""
        file = self.path / RESULTS
        publish(file, "".join(row.to_json() + "\n" for row in self.rows()))
        return file

    def close(self) -> None:
        """Collect the rows and release the folder. Closing again does nothing."""
        if self._lock is None:
            return
        try:
            self.collect()
            with contextlib.suppress(OSError):  # not empty: trainings are to be sent again
                (self.path / SENT).rmdir()
            os.ftruncate(self._lock, 0)
        finally:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_rows(path: str | Path) -> tuple[Row, ...]:
    """Return all rows of the study in `path`, in order; reading needs no lock.

    Raises StudyError, which names the file, for one that is torn, not a row, or of another schema.
    """
    return tuple(row for row, _ in _read(Path(path)))


def _read(path: Path) -> list[tuple[Row, str]]:
    """Return the rows in order, each with its line of results.jsonl."""
    rows = []
    for file in (path / ROWS).glob("*.json"):
        try:
            text = read_whole(file).decode()
            row = from_json(text)
        except (RowError, UnicodeDecodeError) as error:
            raise StudyError(f"{file}: {error}; delete this file and the study trains that candidate again") from None
        if file.name != row.file_name:
            raise StudyError(f"{file}: this row's file is {row.file_name}; rename it, or delete it if it is a copy")
        # As it was written, unless someone has laid it out anew: to write 2,000 rows again takes a second.
        rows.append((row, text if text.count("\n") == 1 and text.endswith("}\n") else row.to_json() + "\n"))
    return sorted(rows, key=lambda one: one[0].order)


def read_sent(path: Path) -> list[Row]:
    """Return the rows without results of the trainings that were sent from the study in `path`, in order."""
    rows = []
    for file in (path / SENT).glob("*.json"):
        with contextlib.suppress(OSError, UnicodeDecodeError, RowError):  # torn, or ended just now
            rows.append(from_json(read_whole(file).decode()))
    return sorted(rows, key=lambda row: row.order)


def claim_study(path: Path) -> None:
    """Check that a study can be begun or continued in `path`, before anything is read or written.

    Raises StudyError where the folder holds something else, and TargetError where it cannot be written.
    """
    _inside(path)
    claim_folder(path, "a study")


def check_study(path: Path) -> None:
    """Raise StudyError unless a study was begun in the folder `path`."""
    if not (path / PLAN).is_file():
        raise StudyError(f"{path}: a study's folder has a {PLAN}, but this one has none; name one under results/")
    if not is_study(path):
        raise StudyError(
            f"{path}: a study writes its resolved plan to {PLAN}, but this one was written by hand; name a study's folder"
        )


def is_study(path: Path) -> bool:
    """Whether `path` is the folder of a study: a study wrote its plan, not a person."""
    return (path / PLAN).is_file() and (_has_rows(path) or _resolved(path / PLAN))


def _inside(path: Path) -> set[str]:
    """Return the names in the folder. Raises StudyError where they are not those of a study."""
    if path.exists() and not path.is_dir():
        raise StudyError(f"{path}: a study is a folder, but this is a file; name another with --out")
    inside = {item.name for item in path.iterdir() if not _TORN.fullmatch(item.name)} if path.exists() else set()
    if PLAN in inside:
        if not is_study(path):
            raise StudyError(
                f"{path}: a study writes its resolved plan to {PLAN}, but the one there was written by hand and would be "
                "lost; name another folder with --out"
            )
        return inside
    # A study that was interrupted right after its start has a lock and no rows.
    strange = sorted(inside - {LOCK, ROWS})
    strange += [LOCK] if LOCK in inside and not _is_lock(path / LOCK) else []
    strange += [ROWS] if ROWS in inside and not _is_empty(path / ROWS) else []
    if strange:
        raise StudyError(
            f"{path}: a study begins in an empty folder, but this one has {strange[0]} and no {PLAN}; "
            "name another with --out"
        )
    return inside


def _has_rows(path: Path) -> bool:
    return (path / ROWS).is_dir() and any(_ROW.fullmatch(file.name) for file in (path / ROWS).iterdir())


def _resolved(file: Path) -> bool:
    """Whether the file is a whole resolved plan, in the form that `Plan.to_yaml` writes."""
    try:
        text = read_whole(file).decode()
        data = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError):
        return False
    return (
        isinstance(data, dict)
        and data.keys() >= {"name", "data", "space", "recipe", "winners"}
        and (as_yaml(data) == text)
    )


def _is_empty(rows: Path) -> bool:
    """Whether this is a folder without rows; temporary files of a killed process do not count."""
    return rows.is_dir() and all(re.fullmatch(rf"\.{_ROW.pattern}\..*\.tmp", file.name) for file in rows.iterdir())


def _is_lock(file: Path) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return opened.read(len(_HOLDER)) in (b"", _HOLDER.encode())


def _begun_with(path: Path, plan: Plan) -> Plan:
    """Return the plan that the study was begun with. Raises StudyError where `plan` cannot continue it.

    The caller skips this for a study without rows, so that a plan whose band was empty can be corrected in place.
    """
    try:
        begun = read_plan(path / PLAN)
    except PlanError as error:
        raise StudyError(f"{path}: the plan that this study was begun with cannot be read ({error})") from None
    if differ := changes(begun, plan, same_data=True):
        # The source may be another path: the rows' fingerprints show whether the data differ.
        raise StudyError(
            f"{path}: a study goes on with the plan that it was begun with, but these differ: {', '.join(differ)}; "
            "put them back (trials, winners.top, winners.seeds and baselines may only grow, with fitted anchors in the same "
            "sizes), or begin a new study with --out"
        )
    return begun


def _locked(path: Path) -> int:
    """Return the descriptor of the lock file, held exclusively until it is closed or this process dies."""
    lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        ours = try_lock(lock)
    except OSError as error:
        os.close(lock)
        raise StudyError(
            f"{path}: a study is locked against a second writer, but this disk cannot lock files "
            f"({error.strerror}); name a folder on another disk by --out"
        ) from None
    if not ours:
        holder = os.read(lock, 1000).decode(errors="replace").strip() or "another process"
        os.close(lock)
        raise StudyError(
            f"{path}: only one process may write a study, but {holder} does already; wait for it, or end it"
        )
    os.ftruncate(lock, 0)
    os.write(lock, f"{_HOLDER}{os.getpid()} on {socket.gethostname()}".encode())
    return lock
