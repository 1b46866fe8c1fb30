"""Matplotlib figures written to files atomically, and marked as ours outside a folder of ours."""

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
"""Metadata of a plot at a path that the user chose, by suffix. The same figure gives the same bytes."""


def save_figure(figure: Figure, path: Path, *, dpi: int, alone: bool = False) -> None:
    """Write the figure to `path`, whose suffix gives the format; `alone`: not in a folder of ours. Raises OSError."""
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix[1:], dpi=dpi, metadata=_ALONE[path.suffix] if alone else None)
    publish(path, content.getvalue())
