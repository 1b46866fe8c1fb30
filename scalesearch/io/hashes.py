"""Hashes by which specs, recipes, data and files are named."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def short_hash(text: str | Iterable[str]) -> str:
    """Twelve hex digits of SHA-256: of a text, or of texts one after another."""
    digest = hashlib.sha256()
    for part in (text,) if isinstance(text, str) else text:
        digest.update(part.encode())
    return digest.hexdigest()[:12]


def file_hash(file: Path) -> str:
    """Twelve hex digits of SHA-256 of the file's bytes. FileNotFoundError."""
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:12]


def hashed_integer(text: str) -> int:
    """A whole number in 0 .. 2**64 - 1 that belongs to this text: a seed, or a choice, that needs no generator."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
