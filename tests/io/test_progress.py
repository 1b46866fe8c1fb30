"""Progress goes to the display that is installed, and nowhere without one."""

from __future__ import annotations

import pytest

from scalesearch.io.progress import bar
from tests.displays import watched


def test_the_innermost_display_has_the_bar() -> None:
    seen: list[tuple[int, int, str]] = []

    def interrupt(done: int, total: int, what: str) -> None:
        raise KeyboardInterrupt

    bar("nobody's")(1, 3, "things")
    with watched(lambda *step: seen.append(step)):
        with pytest.raises(KeyboardInterrupt), watched(interrupt):
            bar("another's")(2, 3, "things")
        bar("ours")(3, 3, "things")
    bar("nobody's")(4, 4, "things")
    assert seen == [(3, 3, "things")]
