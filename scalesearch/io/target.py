"""Checks of targets before the work: they can be written, and no file of the user's would be replaced."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOM = 2**20
"""Bytes that must be free by default."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)


class TargetError(ValueError):
    """A place that cannot be written to, or that has a file of the user's; the message has the remedy."""


def claim_file(file: Path, what: str, ours: Callable[[Path], bool], *, room: int = ROOM) -> None:
    """Check that `file` can be written, and that it is missing, empty, or recognised by `ours` as one of ours.

    `what` names it in messages, as `a table of timings`; `room` is its expected size in bytes. Nothing is left behind.
    Raises TargetError.
    """
    place = Path(os.path.realpath(file))
    kind = _kind(place, what, file)
    if kind:
        raise TargetError(f"{file}: {what} is a file, but this is {kind}; name a file")
    if _exists(place):
        if not place.stat().st_mode & 0o222 or not os.access(place, os.W_OK):
            raise TargetError(f"{file}: {what} must be writable, but this file is not; name another")
        if place.stat().st_size and not _safely(ours, place):
            raise TargetError(
                f"{file}: {what} may replace only a file of the same kind, but this one is not; move it away, "
                "or name another"
            )
    _probe(place.parent, what, file, room)


def claim_new_file(file: Path, what: str) -> None:
    """Check that `file` can be written and is missing or empty: it is edited by hand and never replaced. TargetError."""
    place = Path(os.path.realpath(file))
    if not _kind(place, what, file) and _exists(place) and place.stat().st_size:
        raise TargetError(f"{file}: {what} is a new file, but this one exists; move it away, or name another")
    claim_file(file, what, lambda _: False)


def claim_folder(folder: Path, what: str, *, room: int = ROOM) -> None:
    """Check that `folder` is a folder or can be made, and that files can be written in it. Nothing is left behind.

    Raises TargetError.
    """
    place = Path(os.path.realpath(folder))
    kind = _kind(place, what, folder)
    if kind != "a folder" and _exists(place):
        raise TargetError(f"{folder}: {what} is a folder, but this is {kind or 'a file'}; name another")
    _probe(place, what, folder, room)


def reserve(handle: int, size: int) -> None:
    """Reserve the disk blocks of `size` bytes for an open file.

    Raises OSError if the disk is full; does nothing on a file system that cannot reserve.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(handle, 0, size)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise


def kind_of(place: Path) -> str:
    """Return `a folder`, `a device`, `a pipe` or `a socket`; empty for a file or a missing one. Raises OSError."""
    if not _exists(place):
        return ""
    mode = place.stat().st_mode
    return next((kind for is_one, kind in _KINDS if is_one(mode)), "")


def _kind(place: Path, what: str, named: Path) -> str:
    try:
        return kind_of(place)
    except OSError as error:
        raise _cannot(named, what, place, error) from None


def _exists(place: Path) -> bool:
    try:
        place.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _safely(ours: Callable[[Path], bool], place: Path) -> bool:
    try:
        return ours(place)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False  # any error of reading a file of another kind


def _probe(folder: Path, what: str, named: Path, room: int) -> None:
    """Write a file of `room` bytes in `folder`, made if missing, and remove everything that was made."""
    try:
        missing = [place for place in (folder, *folder.parents) if not _exists(place)]
        there = missing[-1].parent if missing else folder
        if not there.is_dir():
            raise TargetError(
                f"{named}: {what} must be in a folder, but {there} is {kind_of(there) or 'a file'}; name another place"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as probe:
                reserve(probe.fileno(), max(1, room))
                probe.write(b" ")
                probe.flush()
        finally:
            for place in missing:
                if place.is_dir() and not any(place.iterdir()):
                    place.rmdir()
    except OSError as error:
        raise _cannot(named, what, folder, error) from None


def _cannot(named: Path, what: str, place: Path, error: OSError) -> TargetError:
    where = "" if str(place) == str(named) else f" in {place}"
    return TargetError(
        f"{named}: {what} must be written{where}, but that cannot be done ({error.strerror}); name another place, or "
        "mend this one"
    )
