"""Names of classes, splits and reasons come from strangers' files: a report shows them as inert text."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from markdown_it import MarkdownIt

from scalesearch.execute.executor import InProcess
from scalesearch.plan.task import Outcome, Task
from scalesearch.report.facts import gather
from scalesearch.report.page import page
from scalesearch.report.write import write_report
from scalesearch.study.driver import run_study
from scalesearch.study.pending import failure
from tests.studies import PLAN, make_plan, make_study
from tests.trainings import learn

HOSTILE = (
    "red\n\n<script>alert(1)</script>\n\n![x](http://evil.example/a.png)\n\n# Best: AP 0.999 | a\\|b \\| c `code`",
    "\x1b[2J\x1b[31mred\x9b0m",
    "[click](javascript:alert(1)) www.evil.example <img src=x onerror=y>",
    "$x_$ $",
    "**bold** _it_ ~~gone~~ &lt;b&gt;",
    "x" * 100_000,
)


def test_a_report_shows_hostile_names_as_text(tmp_path: Path) -> None:
    study = make_study(tmp_path, make_plan(tmp_path, PLAN))
    splits = {role: f"{name} {HOSTILE[0]}" for role, name in study.provenance.splits.items()}
    study = replace(study, provenance=replace(study.provenance, splits=splits))

    def train(task: Task, label: str) -> Outcome:
        if label.startswith("trial 2/"):
            return failure(HOSTILE[0])
        return replace(learn(task, label), per_class=dict.fromkeys(HOSTILE, 0.5))

    run_study(study, InProcess(train))
    text = page(gather(study.plan, study.folder.rows()), "front.png")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text) and len(text) < 30_000
    html = MarkdownIt("commonmark", {"html": True}).enable("table").enable("strikethrough").render(text)
    assert html.count("<img") == 1 and '<img src="front.png"' in html
    assert not re.search(r"<(script|a|s|b)[ >]", html)
    assert re.findall(r"<h1>(.*)</h1>", html) == ["toy"]
    (classes,) = (
        part for part in html.split("<table>") if "alert(1)" in part and "<th>design</th>" in part and "0.500" in part
    )
    heads, cells = classes.count("<th>"), [line.count("<td") for line in classes.split("<tr>")[2:]]
    assert heads == 1 + len(HOSTILE) and set(cells) == {heads}
    write_report(study.folder.path, gather(study.plan, study.folder.rows()))
