"""The page is whole and self-contained, its numbers are the rows', and what comes from outside is text."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scalesearch.app.report_study import proxy_notes
from scalesearch.execute.executor import InProcess
from scalesearch.mirror.importance import importances
from scalesearch.plan.task import Outcome, Task
from scalesearch.report.facts import gather
from scalesearch.study.driver import run_study
from scalesearch.study.study import Study
from scalesearch.webpage.candidates import candidates
from scalesearch.webpage.detections import PICTURE, DrawnBy, source_of, tiles, write_picture
from scalesearch.webpage.progress import progress
from scalesearch.webpage.sections import ProxyNote
from scalesearch.webpage.write_page import web_page
from tests.report.test_hostile_names import HOSTILE
from tests.studies import PLAN, make_plan, make_study
from tests.trainings import learn
from tests.webpage.conftest import Document, finished


def test_the_page_is_whole_and_asks_for_nothing(done: Study) -> None:
    facts = gather(done.plan, done.folder.rows())
    html = web_page(done.folder.path, facts, importances(facts.trials))
    page = Document(html)
    assert html.startswith("<!doctype html>") and ("html", {"lang": "en"}) in page.elements
    assert len(page.ids) == len(set(page.ids))
    for tag, attributes in page.elements:
        for name in ("src", "href", "action", "data", "srcset", "poster"):
            assert not (place := attributes.get(name)) or place.startswith(("#", "data:")), (tag, place)
        if tag == "img":
            assert attributes["alt"]
        for name in ("for", "aria-labelledby"):
            assert name not in attributes or attributes[name] in page.ids
        if tag == "a":
            assert (attributes["href"] or "").removeprefix("#") in page.ids
    css = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in css and "@import" not in css
    assert html == web_page(done.folder.path, facts, importances(facts.trials))


def test_its_marks_are_the_rows(done: Study) -> None:
    facts = gather(done.plan, done.folder.rows())
    data = Document(web_page(done.folder.path, facts)).data
    shown, figure = candidates(facts), data["figures"]["front"]
    marked = set()
    for cost, view in figure["views"].items():
        assert len(view["data"]) <= len(figure["data"])
        for trace, change in zip(figure["data"], view["data"], strict=False):
            for number, x, y in zip(trace.get("customdata", ()), change["x"], trace.get("y", ()), strict=False):
                one = shown[number]
                assert x == one.row.cost.get(cost, x)
                known = [one.ap, *(group.spread().mean for group in one.finals if group.spread())]  # type: ignore[union-attr]
                assert any(y == pytest.approx(ap, abs=1e-5) for ap in known)
                marked.add(number)
    assert marked == set(range(len(shown)))
    assert list(figure["views"])[:1] == [facts.costs[0]] and {"macs", "params", "memory"} <= set(figure["views"])
    best = facts.winners[0].first
    start = shown[data["start"]]
    assert (start.row.ordinal, start.row.member) == (best.ordinal, best.member)


def test_the_page_says_what_the_report_says(done: Study) -> None:
    facts = gather(done.plan, done.folder.rows())
    text = " ".join("".join(Document(web_page(done.folder.path, facts)).shown).split())
    spread = facts.winners[0].spread()
    assert f"Best: AP {spread} on c at " in text and "Each winner has two numbers" in text
    assert ("On the ladder 24 reached epoch 2" in text) == (done.plan.ladder is not None)
    assert ("Learning curves" in text) == (done.plan.ladder is not None)
    assert "There is no picture of detections: scalesearch search ... --finish draws one" in text
    assert "scalesearch search toy.yaml" in text and str(done.folder.path) not in text


def test_names_from_outside_are_text(tmp_path: Path) -> None:
    study = make_study(tmp_path, make_plan(tmp_path, PLAN))
    splits = {role: f"{name} {HOSTILE[0]}" for role, name in study.provenance.splits.items()}
    study = replace(study, provenance=replace(study.provenance, splits=splits))

    def train(task: Task, label: str) -> Outcome:
        return replace(learn(task, label), per_class=dict.fromkeys(HOSTILE, 0.5))

    run_study(study, InProcess(train))
    plan = replace(study.plan, name="</script><img src=x onerror=alert(1)>")
    html = web_page(study.folder.path, gather(plan, study.folder.rows()))
    page = Document(html)
    assert [tag for tag, _ in page.elements].count("script") == 3
    assert not [tag for tag, own in page.elements if tag == "img" and own.get("src") == "x"]
    assert not [name for _, own in page.elements for name in own if name.startswith("on")]
    assert "</script><img src=x onerror=alert(1)>" in page.shown  # the heading
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", html)
    hovers = [text for trace in page.data["figures"]["front"]["data"] for text in trace.get("hovertext", ())]
    assert hovers and not any(re.search(r"<(?!/?b>|br>)", text) for text in hovers)


def test_a_study_of_no_rows_has_a_page(tmp_path: Path) -> None:
    study = make_study(tmp_path, make_plan(tmp_path))
    page = Document(web_page(study.folder.path, gather(study.plan, ())))
    assert "No candidate has been trained yet" in "".join(page.shown)


def test_the_hypervolume_grows_to_its_end(done: Study) -> None:
    facts = gather(done.plan, done.folder.rows())
    steps = progress(facts.trials, facts.plan.objectives)
    assert len(steps) == len(facts.trials) and steps[-1].share == pytest.approx(1)
    for one, other in pairwise(steps):
        assert one.share <= other.share and one.hours <= other.hours
    first = next(trial for trial in facts.trials if trial.complete)
    assert all(step.share == 0 for step in steps if step.ordinal < first.ordinal)


def test_the_picture_of_detections_is_shown_while_it_is_of_the_best_winner(tmp_path: Path) -> None:
    study = finished(tmp_path, "spec")
    folder, facts = study.folder.path, gather(study.plan, study.folder.rows())
    colours = [(30 * number, 200 - 20 * number, 90) for number in range(5)]
    images = [Image.new("RGB", (64, 48 + 8 * number), colour) for number, colour in enumerate(colours)]
    best = facts.winners[0].first
    source = DrawnBy(best.spec_id, best.recipe_id, "0", "abc")
    write_picture(folder / PICTURE, images, source)
    before = (folder / PICTURE).read_bytes()
    write_picture(folder / PICTURE, images, source)
    assert (folder / PICTURE).read_bytes() == before and source_of(folder / PICTURE) == source
    shown = [
        own["src"] for tag, own in Document(web_page(folder, facts)).elements if tag == "img" and own.get("loading")
    ]
    assert shown == tiles(folder / PICTURE) and len(shown) == 5

    write_picture(folder / PICTURE, images, source._replace(spec_id="another"))
    page = Document(web_page(folder, facts))
    assert not [own for tag, own in page.elements if tag == "img" and own.get("loading")]
    assert "of an earlier winner" in "".join(page.shown)
    Image.fromarray(np.zeros((9, 9), dtype=np.uint8)).save(folder / PICTURE)  # not ours
    assert source_of(folder / PICTURE) is None


def test_an_audit_is_told_in_its_sentences(tmp_path: Path) -> None:
    study = finished(tmp_path, "ladder")
    notes = proxy_notes(study.folder.path)
    assert len(notes) == 1 and "Kendall's tau with full training is" in notes[0].sentences[0]
    noted = [ProxyNote("the search & <b>", ("It *cannot* be <i>trusted</i>.", "More."))]
    page = Document(web_page(study.folder.path, gather(study.plan, study.folder.rows()), None, noted))
    text = "".join(page.shown)
    assert "The search & <b>" in text and "It *cannot* be <i>trusted</i>." in text
    assert proxy_notes(make_study(tmp_path / "none", make_plan(tmp_path)).folder.path) == []
