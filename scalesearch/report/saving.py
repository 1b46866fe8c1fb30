"""Figures of Matplotlib as files: published whole, and marked as ours where they stand alone."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from scalesearch.io.marks import MARK
from scalesearch.io.publish import publish

_ALONE: dict[str, dict[str, Any]] = {
    ".svg": {"Creator": MARK, "Date": None},
    ".pdf": {"Creator": MARK, "CreationDate": None},
    ".png": {"Software": MARK},
}
"""What the metadata say of a picture that its user named, by suffix; the same figure gives the same bytes."""


def save(figure: Figure, path: Path, *, dpi: int, alone: bool = False) -> None:
    """Writes the figure to `path`, whose suffix gives the format; `alone`, in no folder of ours. OSError."""
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix[1:], dpi=dpi, metadata=_ALONE[path.suffix] if alone else None)
    publish(path, content.getvalue())
