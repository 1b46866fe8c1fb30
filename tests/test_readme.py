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


def test_its_scores_are_in_the_pages_that_it_links() -> None:
    rows = [line for line in README.read_text().splitlines() if line.startswith("| [`")]
    found = 0
    for row in rows:
        answer = row.split(" | ")[-1]
        for page in re.findall(r"\((results/\w+/\w+\.md)\)", answer):
            text, trials = (README.parent / page).read_text(), (README.parent / page).with_name("trials.csv")
            if trials.exists():
                text += " ".join(f"{float(number):.3f}" for number in re.findall(r"\b0\.[0-9]+\b", trials.read_text()))
            scores = re.findall(r"\b0\.[0-9]{3}\b", answer)
            assert not [score for score in scores if score not in text], page
            found += len(scores)
    assert found > 15
