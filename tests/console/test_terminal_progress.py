"""What a console shows where there is no terminal."""

from __future__ import annotations

import pytest

from scalesearch.console import progress
from scalesearch.console.lines import logged


def test_off_a_terminal_a_bar_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with logged(), progress.RichConsole() as console:
        console.bar("decoding", at_once=True)(1, 4, "images")
        assert capsys.readouterr().out == ""  # the first is due after a minute
        monkeypatch.setattr(progress, "_PERIOD", 0.0)
        console.bar("decoding")(1, 4, "images")
        console.bar("training in 2 processes")(2, 4, "")
        console.bar("decoding")(4, 4, "images")  # what is over needs no line
    assert capsys.readouterr().out == "  decoding: 25%, images\n  training in 2 processes: 50%\n"
