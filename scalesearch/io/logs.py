"""Temporary levels of the standard `logging`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def at_level(name: str, level: int) -> Iterator[None]:
    """Set the logger to this level inside the `with` block, and restore its own afterwards."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
