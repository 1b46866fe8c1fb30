"""Recognising files that this project wrote, by a mark that is written into them."""

from __future__ import annotations

import json
import mmap
from pathlib import Path

from scalesearch.io.target import TargetError, claim_file

MARK = "scalesearch"
"""The software named in a picture's metadata."""
PICTURES = (".svg", ".png", ".pdf")
_MARKS = {
    b"\x89PNG\r\n\x1a\n": b"Software\0" + MARK.encode(),
    b"<?xml": b"<dc:title>" + MARK.encode() + b"</dc:title>",
    b"%PDF": b"/Creator (" + MARK.encode() + b")",
}
"""The first bytes of each format, and the mark in it."""
DETECTOR = "detector"
"""The property of an exported model that describes its detector."""


def claim_picture(file: Path) -> None:
    """Check that a picture can be written to `file`. ValueError for another suffix, and as `claim_file`."""
    if file.suffix not in PICTURES:
        raise ValueError(f"a picture is {', '.join(PICTURES[:-1])} or {PICTURES[-1]}, but got {file.name!r}")
    claim_file(file, "a picture", is_picture)


def claim_export(file: Path, weights: Path, *, room: int) -> None:
    """Check that `weights` can be exported to `file`, .onnx or .safetensors, of at most `room` bytes. ValueError."""
    if file.exists() and weights.exists() and file.samefile(weights):
        raise TargetError(f"{file}: an export must not replace its own weights, but this is their file; name another")
    claim_file(file, "an export", is_safetensors if file.suffix == ".safetensors" else is_onnx, room=room)


def is_picture(file: Path) -> bool:
    """Whether this project drew the picture. Raises OSError."""
    with file.open("rb") as opened:
        content = opened.read()
    return any(content.startswith(start) and mark in content for start, mark in _MARKS.items())


def is_safetensors(file: Path) -> bool:
    """Whether the file's header describes a detector. Errors of reading any other file are passed on."""
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        header = json.loads(opened.read(length if length < file.stat().st_size else 0))
    return DETECTOR in header["__metadata__"]


def is_onnx(file: Path) -> bool:
    """Whether the properties at the file's end describe a detector. OSError, and ValueError for an empty file."""
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return all(content.rfind(name) > 0 for name in (b"category_ids", b"spec_id", DETECTOR.encode()))
