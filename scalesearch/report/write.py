"""Write a study's report into its folder: front.csv, trials.csv, front.png, report.md."""

from __future__ import annotations

from pathlib import Path

from scalesearch.io.publish import publish
from scalesearch.report.facts import Facts
from scalesearch.report.front_plot import draw_front
from scalesearch.report.page import page
from scalesearch.report.tables import trials_table

PICTURE = "front.png"


def write_report(folder: Path, facts: Facts) -> Path:
    """Write the report into the study's folder, and return the page's path; the rows are not changed."""
    table = trials_table(facts.trials)
    publish(folder / "trials.csv", table.to_csv(index=False))
    # Selecting from the same table keeps the columns' names where the front is empty.
    front = table.set_index("number", drop=False).loc[[trial.ordinal for trial in facts.front]]
    publish(folder / "front.csv", front.to_csv(index=False))
    draw_front(facts, folder / PICTURE)
    path = folder / "report.md"
    publish(path, page(facts, PICTURE))
    return path
