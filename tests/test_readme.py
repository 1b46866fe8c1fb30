"""The README's Python is run as it stands."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_its_session_in_python_gives_what_it_shows() -> None:
    (session,) = re.findall(r"```pycon\n(.*?)```", README.read_text(), flags=re.DOTALL)
    test = doctest.DocTestParser().get_doctest(session, {}, "README.md", str(README), 0)
    found = doctest.DocTestRunner().run(test)
    assert found.attempted > 10 and found.failed == 0
