"""Levels of the standard `logging`, for a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def at_level(name: str, level: int) -> Iterator[None]:
    """Gives the logger this level inside the `with` block, and its own again afterwards."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
