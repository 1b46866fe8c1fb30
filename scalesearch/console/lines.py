"""The lines that the package logs, on a terminal: the one handler of the command line."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from scalesearch.io.logs import at_level
from scalesearch.io.text import for_terminal


def speaks() -> bool:
    """Whether this process writes to the terminal: of those that torchrun started the first one does."""
    return os.environ.get("RANK", "0") == "0"


def _on_stderr(line: str) -> None:
    """Where a line spoils no table and no JSON."""
    print(line, file=sys.stderr)


_print: ContextVar[Callable[[str], None]] = ContextVar("print", default=_on_stderr)


@contextmanager
def logged() -> Iterator[None]:
    """Prints what the package logs, from INFO on, a line each: on standard error, or as `printed_by` says. Nobody else does."""
    logger, handler = logging.getLogger("scalesearch"), _Handler()
    logger.addHandler(handler)
    logger.propagate = False
    try:
        with at_level(logger.name, logging.INFO):
            yield
    finally:
        logger.propagate = True
        logger.removeHandler(handler)


@contextmanager
def printed_by(line: Callable[[str], None]) -> Iterator[None]:
    """Has lines printed by this function, as above a progress bar."""
    token = _print.set(line)
    try:
        yield
    finally:
        _print.reset(token)


class _Handler(logging.Handler):
    """An error while printing is raised, not swallowed: a closed pipe ends the command."""

    def emit(self, record: logging.LogRecord) -> None:
        if speaks():
            _print.get()(for_terminal(record.getMessage()))
