"""Hashes that identify specs, recipes, data and files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def short_hash(text: str | Iterable[str]) -> str:
    """Return twelve hex digits of SHA-256 of a text, or of texts one after another."""
    digest = hashlib.sha256()
    for part in (text,) if isinstance(text, str) else text:
        digest.update(part.encode())
    return digest.hexdigest()[:12]


def file_hash(file: Path) -> str:
    """Return twelve hex digits of SHA-256 of the file's bytes. Raises FileNotFoundError."""
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:12]


def hashed_integer(text: str) -> int:
    """Return an integer in 0 .. 2**64 - 1 by the text's hash: a seed, or a random choice without a generator."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
