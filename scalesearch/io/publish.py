"""Files and folders that are whole or not there: written aside, synced, renamed into place."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def publishing(file: Path) -> Iterator[Path]:
    """A path beside `file` to write to; at the end it takes the place of `file`, or goes where an error is raised.

    After a crash `file` is the old one or the new one. A link is followed, and what is no regular file is never
    replaced. Raises OSError.
    """
    file = Path(os.path.realpath(file))
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = _aside(file)
    # An ordinary file's permissions, which are those of `file` where it is there.
    os.close(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield aside
        _sync(aside)
        if file.exists():
            if not stat.S_ISREG(file.stat().st_mode):
                raise FileExistsError(f"{file}: a file is written in place of a file, but this is none; name another")
            shutil.copymode(file, aside)
        os.replace(aside, file)
        _sync(file.parent)  # the name is on disk only once its folder is
    finally:
        aside.unlink(missing_ok=True)


def publish(file: Path, content: str | bytes) -> None:
    """Writes `file` whole, text as UTF-8. Raises OSError as `publishing`."""
    with publishing(file) as aside:
        aside.write_bytes(content.encode() if isinstance(content, str) else content)


def publish_or_keep(file: Path, content: str | bytes) -> None:
    """`publish` of what took long to make: where it fails, the content is kept in the system's temporary folder.

    Raises OSError, which says where it is kept, or that it is not.
    """
    try:
        publish(file, content)
    except OSError as error:
        why = error.strerror or str(error)
        try:
            kept = Path(tempfile.mkdtemp(prefix="scalesearch-")) / file.name
            publish(kept, content)
        except OSError as worse:
            raise OSError(f"{file} could not be written ({why}), nor kept elsewhere ({worse}); make room") from None
        raise OSError(
            f"{file} could not be written ({why}); it is kept as {kept}: make room, and move it there"
        ) from None


@contextmanager
def publishing_folder(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` to fill, which at the end becomes `folder`. Raises OSError, also where that is there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = _aside(folder)
    aside.mkdir()
    try:
        yield aside
        for item in aside.rglob("*"):
            _sync(item)
        aside.rename(folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def discard_leftovers(folder: Path, name: str = "*") -> None:
    """Removes what a killed process left of publishing the files called `name`, a pattern of names, in `folder`."""
    for leftover in folder.glob(f".{name}.*{_SUFFIX}"):
        if leftover.is_file():
            leftover.unlink(missing_ok=True)


_SUFFIX = ".tmp"


def _aside(place: Path) -> Path:
    # A name may have 255 bytes, and this one is longer.
    token = f".{os.getpid()}-{secrets.token_hex(4)}{_SUFFIX}"
    name = os.fsencode(place.name)[: 254 - len(token)]
    return place.with_name(f".{os.fsdecode(name)}{token}")


def _sync(place: Path) -> None:
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
