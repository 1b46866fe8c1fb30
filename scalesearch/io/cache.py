"""The cache folder, for files that can be made again: decoded images, digits, timm's measurements, timings."""

from __future__ import annotations

import os
from pathlib import Path

CACHE = "SCALESEARCH_CACHE"
"""The environment variable that names the folder."""


def cache_folder() -> Path:
    """Return SCALESEARCH_CACHE, or ~/.cache/scalesearch; ValueError if neither is known."""
    if named := os.environ.get(CACHE):
        return Path(named)
    try:
        return Path.home() / ".cache" / "scalesearch"
    except RuntimeError:  # a user without a home, as in a container
        raise ValueError(
            "the cache is in the home folder or where SCALESEARCH_CACHE says, but there is neither; set it to a folder"
        ) from None
