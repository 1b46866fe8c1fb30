"""The whole report of a study: tables, plot and report.md, and report.html."""

from __future__ import annotations

from pathlib import Path

from scalesearch.mirror.importance import importances
from scalesearch.report.facts import Facts
from scalesearch.report.write import write_report
from scalesearch.webpage.write_page import write_page


def report_study(folder: Path, facts: Facts) -> Path:
    """Write the report into the study's folder, and return the path of report.md; the rows are not changed."""
    path = write_report(folder, facts)
    report_page(folder, facts)
    return path


def report_page(folder: Path, facts: Facts) -> Path:
    """Write report.html alone, which shows the pictures in the folder, and return its path."""
    return write_page(folder, facts, importances(facts.trials))
