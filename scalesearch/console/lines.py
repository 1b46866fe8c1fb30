"""Log lines on a terminal: the one logging handler of the command line."""

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
    """Whether this process writes to the terminal: under torchrun only the first one does."""
    return os.environ.get("RANK", "0") == "0"


def _on_stderr(line: str) -> None:
    """Print to standard error, where a line disturbs no table and no JSON."""
    print(line, file=sys.stderr)


_print: ContextVar[Callable[[str], None]] = ContextVar("print", default=_on_stderr)


@contextmanager
def logged() -> Iterator[None]:
    """Print each record of the package from INFO on as a line, on standard error or by the function of `printed_by`.

    No other handler prints these records meanwhile.
    """
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
    """Print lines by this function inside the `with` block, as above a progress bar."""
    token = _print.set(line)
    try:
        yield
    finally:
        _print.reset(token)


class _Handler(logging.Handler):
    """Prints records. An error while printing is raised, not swallowed: a closed pipe ends the command."""

    def emit(self, record: logging.LogRecord) -> None:
        if speaks():
            _print.get()(for_terminal(record.getMessage()))
