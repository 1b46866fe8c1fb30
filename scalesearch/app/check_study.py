"""`report --check`: whether every proposal of a study follows from its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import optuna

from scalesearch.app.search_study import unit_of
from scalesearch.arch.spec import Anchors
from scalesearch.plan.plan import Plan, read_plan
from scalesearch.records.folder import PLAN, check_study, read_rows, read_sent
from scalesearch.records.row import Row
from scalesearch.space.find_band import find_band
from scalesearch.space.space import Frame
from scalesearch.study.check import Checked, check_proposals


def check_study_proposals(folder: Path) -> Checked:
    """Derive each proposal of the study in `folder` from its plan and its rows; the data are not opened.

    Raises StudyError where there is no study, and StrayRowError, which names the row, where one does not follow.
    """
    check_study(folder)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    plan, rows = read_plan(folder / PLAN), read_rows(folder)
    if not rows:
        return Checked(0, 0)
    band = find_band(unit_of(plan, rows[0].spec.classes, _anchors(plan, rows)))
    return check_proposals(plan, band, rows, read_sent(folder))


def _anchors(plan: Plan, rows: Sequence[Row]) -> Mapping[Frame, Anchors]:
    """Return the anchors that the study fitted to its data, by frame. A frame without a row has those of another: no
    candidate of it was proposed."""
    specs = [row.spec for row in rows]
    known = {(spec.size, spec.topology.min_level, spec.topology.max_level): spec.anchors for spec in specs}
    return {frame: known.get(frame, specs[0].anchors) for frame in plan.frames}
