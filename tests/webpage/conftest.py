"""Finished toy studies, with a ladder and without, and the page of each as a document."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from scalesearch.execute.executor import InProcess
from scalesearch.plan.task import Outcome, Task
from scalesearch.study.driver import run_study
from scalesearch.study.study import Study
from tests.studies import FAMILY, PLAN, make_plan, make_study, quiet_optuna
from tests.trainings import learn

__all__ = ["quiet_optuna"]

LADDER = ("ladder={rungs: [0.25, 0.5]}", "recipe.epochs=8", "trials=24")
VOID = {"meta", "link", "img", "input", "br", "hr"}


@dataclass
class Document(HTMLParser):
    """A page read strictly: every element that is opened is closed, in its order."""

    html: str
    open: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    """Content of each element of script by its id."""
    shown: list[str] = field(default_factory=list)
    """Text outside of script and style."""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.feed(self.html)
        self.close()
        assert self.open == [], self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = dict(attrs)
        assert len(own) == len(attrs), f"{tag} has an attribute twice"
        self.elements.append((tag, own))
        self.ids += [own["id"] or ""] if "id" in own else []
        self.open += [] if tag in VOID else [tag]

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.texts[self.elements[-1][1].get("id") or "script"] = data
        elif self.open and self.open[-1] != "style":
            self.shown.append(data)

    @property
    def data(self) -> dict[str, Any]:
        """What the page's script draws."""
        found: dict[str, Any] = json.loads(self.texts["data"])
        return found


def climb(task: Task, label: str) -> Outcome:
    """`learn`, evaluated every second epoch on its way, with a loss for each epoch."""
    final = learn(task, label)
    ap = final.curve[-1][1]["ap"] or 0.0
    epochs = sorted({*range(2, task.to_epoch, 2), task.to_epoch})
    curve = tuple((epoch, {"ap": ap * (1 - 0.5**epoch), "ap50": ap}) for epoch in epochs)
    losses = tuple((epoch, 1 / epoch, 0.5 / epoch, 0.1) for epoch in range(1, task.to_epoch + 1))
    return replace(final, curve=curve, losses=losses, seconds=float(task.to_epoch))


@pytest.fixture(params=["spec", "ladder", "family"])
def done(request: pytest.FixtureRequest, tmp_path: Path) -> Study:
    """A finished study of detectors without or with a ladder, or of families."""
    return finished(tmp_path, request.param)


def finished(folder: Path, kind: str) -> Study:
    """A finished study."""
    plan = make_plan(folder, FAMILY if kind == "family" else PLAN, *(LADDER if kind == "ladder" else ()))
    study = make_study(folder, plan)
    run_study(study, InProcess(climb if kind == "ladder" else learn))
    study.folder.close()
    return study
