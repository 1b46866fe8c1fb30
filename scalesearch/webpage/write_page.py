"""report.html: the report of a study as one page that needs no network."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from scalesearch.arch.topology import Topology
from scalesearch.cost.budget import human
from scalesearch.evidence.importance import Importances
from scalesearch.io.publish import publish
from scalesearch.io.text import for_terminal
from scalesearch.report.facts import Facts
from scalesearch.report.page import CONVENTION, best_text, biased_text, searched_text
from scalesearch.report.start import start_text
from scalesearch.webpage.candidates import ShownDetector, candidates, spec_of
from scalesearch.webpage.curve_figures import curve_changes, curve_figure, curves_figure, has_curves
from scalesearch.webpage.detections import PICTURE, is_of, source_of, tiles
from scalesearch.webpage.front_figure import SHOWN, front_figure
from scalesearch.webpage.graph_figure import graph_changes, graph_figure
from scalesearch.webpage.progress import progress
from scalesearch.webpage.render import html_of
from scalesearch.webpage.sections import ProxyNote, sections
from scalesearch.webpage.study_figures import importance_figure, progress_figure
from scalesearch.webpage.style import COSTS, Figure
from scalesearch.webpage.table import table_of

NAME = "report.html"


class HeadNumber(NamedTuple):
    """A number at the head of the page."""

    label: str
    value: str
    note: str = ""


def write_page(folder: Path, facts: Facts, axes: Importances | None = None, proxies: Sequence[ProxyNote] = ()) -> Path:
    """Write the page into the study's folder, and return its path.

    `axes` is the importance of the axes, `proxies` what audits say of the short trainings.
    """
    path = folder / NAME
    publish(path, web_page(folder, facts, axes, proxies))
    return path


def web_page(folder: Path, facts: Facts, axes: Importances | None = None, proxies: Sequence[ProxyNote] = ()) -> str:
    """Return the page as HTML; pictures come from the study's folder."""
    found = candidates(facts)
    steps = progress(facts.trials, facts.plan.objectives)
    figures: dict[str, Figure] = {}
    if found:
        figures |= {"front": front_figure(facts, found), "graph": graph_figure(), "curve": curve_figure()}
    if has_curves(found):
        figures["curves"] = curves_figure(facts, found)
    if axes:
        figures["importance"] = importance_figure(axes.axes)
    if steps:
        figures["progress"] = progress_figure(steps, facts.trials)
    columns, cells = table_of(found)
    still = folder / "front.png"
    page: str = _template().render(
        name=for_terminal(facts.plan.name),
        best=html_of(best_text(facts).strip() or searched_text(facts)),
        searched=html_of(searched_text(facts)) if best_text(facts) else "",
        start=html_of(start_text(facts)),
        biased=html_of(biased_text(facts)),
        numbers=_numbers(facts),
        sections=sections(facts, found, axes, proxies, steps, folder),
        candidates=[{"choice": _choice(one), "cells": line} for one, line in zip(found, cells, strict=True)],
        columns=columns,
        views=[
            {"id": cost, "label": view["label"]} for cost, view in figures.get("front", {}).get("views", {}).items()
        ],
        unknown=[
            {"id": cost, "label": COSTS[cost]} for cost in SHOWN if figures and cost not in figures["front"]["views"]
        ],
        tiles=_tiles(folder, facts),
        still=_data_uri(still) if still.is_file() else "",
        convention=html_of(CONVENTION),
        css=_text("page.css"),
        script=_text("page.js"),
        library=_library(),
        data=_json(_data(facts, found, figures)),
    )
    return page


def _data(facts: Facts, found: Sequence[ShownDetector], figures: dict[str, Figure]) -> dict[str, Any]:
    """Return what page.js draws."""
    graphs: dict[Topology, int] = {}
    for one in found:
        graphs.setdefault(one.row.spec.topology, len(graphs))
    return {
        "figures": figures,
        "candidates": [
            {"spec": spec_of(one), "curve": curve_changes(one), "graph": graphs[one.row.spec.topology]} for one in found
        ],
        "graphs": [graph_changes(topology) for topology in graphs],
        "start": _start(facts, found),
    }


def _start(facts: Facts, found: Sequence[ShownDetector]) -> int:
    """Return the number of the detector that is shown first: the best winner, else the best of the front."""
    if facts.winners:
        best = facts.winners[0].first
        wanted = (best.ordinal, best.member)
    else:
        wanted = (facts.front[0].ordinal if facts.front else 0, None)
    same = [number for number, one in enumerate(found) if one.trial and (one.row.ordinal, one.row.member) == wanted]
    return same[0] if same else 0


def _choice(one: ShownDetector) -> str:
    return one.name if one.ap is None else f"{one.name}: AP {one.ap:.3f}"


def _numbers(facts: Facts) -> list[HeadNumber]:
    rows = [row for trial in facts.trials for row in (*trial.rows, *(row for again in trial.repeats for row in again))]
    rows += [row for group in (*facts.winners, *facts.baselines) for row in group.rows]
    if not rows:
        return []
    found = []
    best = facts.winners[0] if facts.winners else None
    if best and (spread := best.spread()):
        seeds = f"{len(spread.values)} seeds" if len(spread.values) > 1 else "one seed"
        sd = f" ± {spread.sd:.3f}" if spread.sd is not None else ""
        found.append(
            HeadNumber(
                "Best AP",
                f"{spread.mean:.3f}",
                f"{sd} on {for_terminal(best.first.splits['evaluated'])}, {seeds}".strip(),
            )
        )
        found.append(HeadNumber("FLOPs", human(best.first.cost["macs"]), "multiply-adds of the best"))
        found.append(HeadNumber("Parameters", human(best.first.cost["params"]), "trainable, of the best"))
    done = sum(trial.complete for trial in facts.trials)
    found.append(HeadNumber("Candidates", f"{len(facts.trials):,}", f"{done:,} trained to the end"))
    if facts.seeds is not None:
        found.append(HeadNumber("Noise", f"{facts.seeds:.3f}", "sd of AP over seeds"))
    hours = sum(row.seconds for row in rows) / 3600
    found.append(
        HeadNumber("Training", f"{hours:.2f} h" if hours < 10 else f"{hours:.0f} h", f"{len(rows):,} trainings")
    )
    return found


def _tiles(folder: Path, facts: Facts) -> list[str]:
    picture = folder / PICTURE
    return tiles(picture) if facts.winners and is_of(source_of(picture), facts.winners[0]) else []


@cache
def _text(name: str) -> Markup:
    return Markup(files("scalesearch.webpage").joinpath(name).read_text(encoding="utf-8"))


def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(str(_text("page.html")))


@cache
def _library() -> Markup:
    """Return plotly.js, compressed (4.8 to 2 MB), as text that needs no escape."""
    return Markup(base64.b64encode(gzip.compress(get_plotlyjs().encode(), 6, mtime=0)).decode())


def _json(data: dict[str, Any]) -> Markup:
    """Return JSON that can stand in an element of script: no character of it can end the element."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("&", "\\u0026").replace(">", "\\u003e"))


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
