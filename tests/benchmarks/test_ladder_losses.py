"""A short run of benchmarks/ladder_losses.py, whose whole runs are committed in results/rehearsal/losses.txt."""

from __future__ import annotations

from types import ModuleType

import optuna
import pytest

from scalesearch.app.rehearse import on_landscape
from scalesearch.rehearsal.result import Rehearsed
from tests.benchmarks.scripts import script


@pytest.fixture(scope="module")
def losses() -> ModuleType:
    module = script("ladder_losses")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return module


def test_losses_are_separated(losses: ModuleType) -> None:
    stage = on_landscape(losses.PLAN, ["trials=24"], "plain")
    searches = losses.Searches(stage)
    found: dict[str, Rehearsed] = searches.all("random", 0)
    # random observes nothing: what it proposes is the same on the ladder, so that only who goes on is lost.
    assert found["replayed"].steps == found["ladder"].steps
    assert found["its own in full"].steps == found["full"].steps
    assert found["full"].epochs == 24 * stage.plan.recipe.epochs > found["ladder"].epochs

    evolved: dict[str, Rehearsed] = searches.all("evolution", 0)
    assert evolved["its own in full"].steps != evolved["full"].steps
    assert evolved["perfect"].steps != evolved["replayed"].steps
    text = losses.line("plain", "evolution", range(1), [evolved])
    assert text.startswith("plain evolution 1 x 24, seeds 0..0: full 0.") and "; replayed " in text
