"""The folder of what can be made again: decoded images, the digits, timm's measurements, tables of timings."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """SCALESEARCH_CACHE, or ~/.cache/scalesearch. ValueError where neither is known."""
    if named := os.environ.get("SCALESEARCH_CACHE"):
        return Path(named)
    try:
        return Path.home() / ".cache" / "scalesearch"
    except RuntimeError:  # a user without a home, as in a container
        raise ValueError(
            "the cache is in the home folder or where SCALESEARCH_CACHE says, but there is neither; set it to a folder"
        ) from None
