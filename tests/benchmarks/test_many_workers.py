"""The script that simulates many workers: nobody idles, and what is simulated can be derived again."""

from __future__ import annotations

import pytest

from scalesearch.app.rehearse import Scenario
from scalesearch.rehearsal.simulation import Yardstick
from tests.benchmarks.scripts import script

script("check_samplers")  # `many_workers` imports it
many_workers = script("many_workers")


@pytest.fixture(scope="module")
def stage() -> tuple[Scenario, Yardstick]:
    found = many_workers.on_landscape(many_workers.PLAN, [], "plain")
    return found, Yardstick(found.band, found.surrogate, found.plan.objectives)


@pytest.mark.parametrize(("sampler", "ladder"), [("random", False), ("ehvi", False), ("tpe", True)])
def test_twenty_workers_are_busy_and_their_proposals_follow(
    stage: tuple[Scenario, Yardstick], sampler: str, ladder: bool
) -> None:
    found = many_workers.run(*stage, sampler=sampler, workers=20, sigma=0.5, trials=40, ladder=ladder, check=True)
    # A proposal takes milliseconds, a training an hour. On a ladder some wait at the end of a rung, never for one candidate.
    assert found.busy > (0.9 if ladder else 0.99)
    assert found.failed <= 1 and 0 < found.front <= 1
