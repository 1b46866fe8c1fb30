"""Rungs that open on disagreement, on a small rehearsal: two bounds of epsilon whose searches are known."""

from __future__ import annotations

import math

from scalesearch.app.rehearse import on_landscape
from scalesearch.rehearsal.simulation import Yardstick
from tests.benchmarks.scripts import script


def test_without_tolerance_it_is_the_ladder_and_with_all_of_it_the_last_rung_stays_closed() -> None:
    pasha = script("ladder_pasha")
    stage = on_landscape(pasha.PLAN, ["trials=16"], "plain")
    yardstick = Yardstick(stage.band, stage.surrogate, stage.plan.objectives)

    def searched(rule: object, climbs: bool = True) -> object:
        return pasha.searched(stage, yardstick, "random", 0, rule, climbs)

    ladder, never = searched(None), searched(pasha.Pasha(math.inf))
    assert searched(pasha.Pasha(0.0)) == ladder and ladder.opened  # type: ignore[attr-defined]
    assert not never.opened and never.volume > 0 and never.share < ladder.share  # type: ignore[attr-defined]
    assert searched(None, climbs=False).share == 1  # type: ignore[attr-defined]
