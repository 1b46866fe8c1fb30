"""The lines and bars of the command line: one handler, its stream, what it escapes, and which process speaks."""

from __future__ import annotations

import logging

import pytest

from scalesearch.console.lines import logged
from scalesearch.console.progress import RichConsole
from scalesearch.io.progress import bar

LOGGER = logging.getLogger("scalesearch.study.pending")


def test_lines_are_on_standard_error_and_above_the_bars_while_there_are_any(
    capsys: pytest.CaptureFixture[str],
) -> None:
    LOGGER.warning("before")
    with logged():
        LOGGER.warning("first 100 %s\x1b[2J\nof two lines")
        LOGGER.debug("of no use")
        with RichConsole():
            LOGGER.info("above [bold]the bars[/bold]")
        LOGGER.info("last")
    LOGGER.warning("after")
    out, err = capsys.readouterr()
    assert out == "above [bold]the bars[/bold]\n"
    assert err == "first 100 %s\\x1b[2J\\nof two lines\nlast\n"
    assert not LOGGER.isEnabledFor(logging.INFO)


@pytest.mark.parametrize("rank", ["0", "1"])
def test_of_several_processes_the_first_one_speaks(
    rank: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    with logged():
        LOGGER.info("one")
        with RichConsole():
            update = bar("counting", at_once=True)
            update(1, 2, "things")
            LOGGER.info("two")
    out, err = capsys.readouterr()
    assert (err, "two\n" in out, "counting" in out) == (("one\n", True, True) if rank == "0" else ("", False, False))


def test_what_cannot_be_printed_is_raised() -> None:
    """Logging's own handlers swallow it, and a command into a closed pipe would go on for hours."""

    class Closed(RichConsole):
        def _line(self, text: str) -> None:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError), logged(), Closed():
        LOGGER.info("nobody reads this")
    assert LOGGER.parent is not None and not LOGGER.isEnabledFor(logging.INFO)
