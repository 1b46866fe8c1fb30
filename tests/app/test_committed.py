"""The committed studies: today's code proposes each of their candidates again, on any processor."""

from __future__ import annotations

from pathlib import Path

import pytest

from scalesearch.app.check_study import check_study_proposals
from scalesearch.records.folder import read_rows

RESULTS = Path(__file__).parents[2] / "results"


@pytest.mark.parametrize("study", sorted(str(file.parent.relative_to(RESULTS)) for file in RESULTS.rglob("plan.yaml")))
def test_its_proposals_are_as_recorded(study: str) -> None:
    searched = len({row.ordinal for row in read_rows(RESULTS / study) if row.kind == "search"})
    checked = check_study_proposals(RESULTS / study)
    assert (checked.derived, checked.unknown) == (searched, 0)
