"""The report of a study, written into its folder: front.csv, trials.csv, front.png, report.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scalesearch.plan.plan import Plan
from scalesearch.records.folder import write_whole
from scalesearch.records.row import Row
from scalesearch.report.facts import gather
from scalesearch.report.front_plot import draw_front
from scalesearch.report.page import page
from scalesearch.report.tables import trials_table

PICTURE = "front.png"


def write_report(folder: Path, plan: Plan, rows: Sequence[Row]) -> Path:
    """Writes the report of `rows` and returns the page's path; the rows are not touched."""
    facts = gather(plan, rows)
    table = trials_table(facts.trials)
    table.to_csv(folder / "trials.csv", index=False)
    # The same columns, and their names also where the front is empty.
    table.set_index("number", drop=False).loc[[trial.ordinal for trial in facts.front]].to_csv(
        folder / "front.csv", index=False
    )
    draw_front(facts, folder / PICTURE)
    path = folder / "report.md"
    write_whole(path, page(facts, PICTURE))
    return path
