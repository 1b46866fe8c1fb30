"""The committed studies: today's code proposes each of their candidates again, on any processor."""

from __future__ import annotations

from pathlib import Path

import pytest

from scalesearch.app.search_study import unit_of
from scalesearch.plan.plan import read_plan
from scalesearch.records.folder import read_rows
from scalesearch.records.trials import trials
from scalesearch.space.find_band import find_band
from scalesearch.study.propose import propose

RESULTS = Path(__file__).parents[2] / "results"


@pytest.mark.parametrize("study", sorted(file.parent.name for file in RESULTS.glob("*/plan.yaml")))
def test_its_proposals_are_as_recorded(study: str) -> None:
    plan = read_plan(RESULTS / study / "plan.yaml")
    found = trials(read_rows(RESULTS / study), members=len(plan.bands))
    spec = found[0].rows[0].spec
    band = find_band(unit_of(plan, spec.classes, spec.anchors))
    for trial in found:
        earlier = [one for one in found if one.ordinal <= trial.ordinal - plan.workers]
        taken = {one.key for one in found if one.ordinal < trial.ordinal}
        again = propose(band, plan.sampler, plan.objectives, plan.seed, trial.ordinal, earlier, taken)
        assert (again.candidate.key, again.proposed_by) == (trial.key, trial.proposed_by), trial.ordinal
