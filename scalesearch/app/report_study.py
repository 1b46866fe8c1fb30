"""The whole report of a study: tables, plot and report.md, and report.html."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from scalesearch.app.audit_rows import comparisons
from scalesearch.evidence.audit import ProxyComparison, audit
from scalesearch.evidence.rank_bootstrap import FEW
from scalesearch.evidence.verdict import verdict
from scalesearch.mirror.importance import importances
from scalesearch.report.facts import Facts
from scalesearch.report.write import write_report
from scalesearch.webpage.sections import ProxyNote
from scalesearch.webpage.write_page import write_page

_AUDITED = 60
"""Most candidates of which an audit is made for the page: of 40 it takes three seconds, and four times as long of 80."""


def report_study(folder: Path, facts: Facts) -> Path:
    """Write the report into the study's folder, and return the path of report.md; the rows are not changed."""
    path = write_report(folder, facts)
    report_page(folder, facts)
    return path


def report_page(folder: Path, facts: Facts) -> Path:
    """Write report.html alone, which shows the pictures in the folder, and return its path."""
    return write_page(folder, facts, importances(facts.trials), proxy_notes(folder))


def proxy_notes(folder: Path) -> list[ProxyNote]:
    """Return what `scalesearch audit` says of the study in sentences; nothing of too few candidates."""
    try:
        found = comparisons(folder)
    except ValueError:  # no training has an AP yet
        return []
    return [_note(one) for one in found if len(one.candidates) >= FEW]


def _note(one: ProxyComparison) -> ProxyNote:
    title = f"{one.short}: beginnings against ends" if one.within else f"{one.short} against {one.full}"
    if len(one.candidates) > _AUDITED:
        text = f"{len(one.candidates)} candidates: `scalesearch audit` says how far their order can be trusted."
        return ProxyNote(title, (text,))
    # The sentences say nothing of losses, whose correlations take as long as those of AP.
    short = [replace(own, short=tuple(replace(run, loss_sums={}) for run in own.short)) for own in one.candidates]
    return ProxyNote(title, verdict(audit(replace(one, candidates=tuple(short)))).sentences)
