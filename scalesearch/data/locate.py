"""The file that each `file_name` of a split means. Standard library only.

A name is tried first as written. Then, in this order: without its leading folders (tools write the path on their own
machine), with slashes for backslashes, and against the folder's files in another case, another Unicode form, a
sub-folder, or without the eight hex digits that Label Studio puts before uploaded files. Files found so are counted in
a note. An ambiguous name matches none. Nothing outside the folder is ever opened.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from scalesearch.data.layout import MEND, SplitFiles, key, role
from scalesearch.data.split import DataError

_SAMPLE = 20
"""Names that a folder is tested with."""
_HASH = re.compile(r"[0-9a-f]{8}-(.+)")


def locate(names: Sequence[str], place: SplitFiles) -> tuple[list[Path], tuple[str, ...]]:
    """Return the file of each name, and notes on those found under another path. DataError where one is missing."""
    root = _root(names, place)
    index: dict[str, list[Path]] | None = None
    files: list[Path] = []
    moved: list[int] = []
    lost: list[int] = []
    for i, name in enumerate(names):
        found = root / name if _is_inside(name) else None
        if found is None or not is_file(found):
            if index is None:
                index = _index(root, role(place.split))
            found = _without_folders(root, name) or _respelt(root, name, index, place)
            (moved if found else lost).append(i)
        files.append(found or root / name)
    if lost:
        raise _lost(names, lost, root, place)
    if not moved:
        return files, ()
    first = moved[0]
    note = (
        f"{len(moved)} of {len(names)} images found under another path than their file_name, as "
        f"{files[first].relative_to(place.folder)} for {names[first]!r}"
    )
    return files, (note,)


def is_file(file: Path) -> bool:
    """Whether there is such a file; False also for an impossible name."""
    try:
        return stat.S_ISREG(os.stat(file).st_mode)
    except (OSError, ValueError):
        return False


def _root(names: Sequence[str], place: SplitFiles) -> Path:
    """Return the candidate folder in which most of a sample of the names are files, as written if possible."""
    roots = place.roots or (place.folder / place.split,)
    some = names[:: max(1, len(names) // _SAMPLE)]
    best, most = roots[0], (0, 0)
    for root in roots:
        written = sum(_is_inside(name) and is_file(root / name) for name in some)
        score = (written, sum(_without_folders(root, name) is not None for name in some) if written < len(some) else 0)
        if score > most:
            best, most = root, score
    if most != (0, 0):
        return best
    for root in roots:
        index = _index(root, role(place.split))
        if any(_respelt(root, name, index, place) for name in some):
            return root
    return best


def _is_inside(name: str) -> bool:
    posix = PurePosixPath(name)
    return not (posix.is_absolute() or PureWindowsPath(name).drive or ".." in posix.parts)


def _parts(name: str) -> list[str]:
    """Return the folders and the file name, for either slash; of Label Studio's local files those after ?d=."""
    path = name.rsplit("?d=", 1)[-1].replace("\\", "/")
    return [part for part in path.split("/") if part not in ("", ".", "..")]


def _leads_elsewhere(root: Path, name: str) -> bool:
    """Whether the name is the path of a file outside the folder; a file of the same name inside is another image."""
    return not _is_inside(name) and is_file(root / name)


def _without_folders(root: Path, name: str) -> Path | None:
    """Return the file in the folder at the longest end of the name's path that exists there."""
    if _leads_elsewhere(root, name):
        return None
    parts = _parts(name)
    ends = (root.joinpath(*parts[i:]) for i in range(len(parts)))
    return next((file for file in ends if is_file(file)), None)


def _index(root: Path, own: str | None) -> dict[str, list[Path]]:
    """Return the files below a folder by the key of their name, without folders of other splits."""
    found: dict[str, list[Path]] = {}
    for parent, folders, files in os.walk(root):
        if own:
            folders[:] = [name for name in folders if role(name) in (None, own)]
        for name in files:
            found.setdefault(key(name), []).append(Path(parent, name))
    return found


def _respelt(root: Path, name: str, index: dict[str, list[Path]], place: SplitFiles) -> Path | None:
    """Return the one file below the folder that the name means, or None where there is none or more than one.

    In a folder of all splits, an image of the same name may be of another split: there one folder of the path has to
    agree.
    """
    parts = _parts(name)
    if not parts or _leads_elsewhere(root, name):
        return None
    hashed = _HASH.fullmatch(parts[-1])
    found = index.get(key(parts[-1])) or (index.get(key(hashed[1])) if hashed else None) or []
    shared = [_common(parts[:-1], file.relative_to(root).parts[:-1]) for file in found]
    least = 1 if root == place.folder and role(place.split) else 0
    best = [
        file
        for file, count in zip(found, shared, strict=True)
        if count == max(shared) and (count >= least or file.parent == root)
    ]
    return best[0] if len(best) == 1 else None


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    """Return how many folders two paths have in common, from the end."""
    count = 0
    for one, other in zip(reversed(first), reversed(second), strict=False):
        if key(one) != key(other):
            break
        count += 1
    return count


def _lost(names: Sequence[str], lost: Sequence[int], root: Path, place: SplitFiles) -> DataError:
    name = names[lost[0]]
    more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
    if not _is_inside(name):
        return DataError(
            f"file_name must be a path below the split's folder, but {name!r} in {place.file} leaves it: write it "
            f"relative, and move or link the images there."
        )
    seen = _seen(name, place)
    own = place.folder / place.split
    if len(lost) == len(names) and root in (own, place.folder, place.file.parent) and not own.is_dir():
        return DataError(
            f"split {place.split!r} must have its images in a folder, but {own} is missing{_pointed(seen, place)}: {MEND}."
        )
    return DataError(
        f"each image of {place.file} must exist, but {root / name}{more} is missing{_pointed(seen, place)}: add it, or "
        f"remove its entry."
    )


def _seen(name: str, place: SplitFiles) -> list[Path]:
    """Return files elsewhere in the data set that may be meant: of the same name, else of another suffix."""
    parts = _parts(name)
    if not parts:
        return []
    index = _index(place.folder, None)
    wanted = parts[-1].rsplit(".", 1)[0]
    return index.get(key(parts[-1])) or [
        file for known, files in index.items() if known.rsplit(".", 1)[0] == key(wanted) for file in files
    ]


def _pointed(seen: Sequence[Path], place: SplitFiles) -> str:
    if not seen:
        return ""
    names = ", ".join(str(file.relative_to(place.folder)) for file in seen[:3])
    return f" (is it {names}{' or another' if len(seen) > 3 else ''}?)"
