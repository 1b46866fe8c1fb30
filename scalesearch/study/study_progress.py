"""Progress and expected end of a study: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from scalesearch.io.progress import bar
from scalesearch.plan.ladder import epochs_at
from scalesearch.plan.plan import Plan
from scalesearch.records.front import ranked_trials
from scalesearch.study.study import Study


class Work(NamedTuple):
    """Epochs of training, over all candidates, winners and baselines."""

    done: float
    expected: float
    """Total epochs: exact without a ladder, and for the trainings after the search."""


def epochs_of_a_candidate(plan: Plan) -> float:
    """Return the mean epochs that the search trains of a candidate: the ladder's share of each rung is promoted."""
    rungs = (0, *epochs_at(plan.ladder, plan.recipe.epochs))
    keep = plan.ladder.keep if plan.ladder else 1.0
    return sum((there - here) * keep**i for i, (here, there) in enumerate(pairwise(rungs)))


def work(study: Study, *, searched: bool) -> Work:
    """Return the epochs done and expected in total; `searched` means that no more candidates will be proposed."""
    plan, members = study.plan, len(study.unit.budgets)
    search = sum(row.epochs_done for row in study.folder.rows() if row.kind == "search")
    repeated = sum(row.epochs_done for row in study.folder.rows() if row.kind == "repeat")
    # A winner with a name was trained by another recipe than the plan's.
    finals = [row for row in study.folder.rows() if row.kind == "baseline" or (row.kind == "winner" and not row.name)]
    final = sum(row.epochs_done for row in finals)
    top, expected = plan.winners.top, plan.candidates * members * epochs_of_a_candidate(plan)
    if searched:
        top, expected = len(ranked_trials(study.trials(), plan.objectives, top)), search
    trainings = (top + len(plan.baselines)) * len(plan.winners.seeds) * members
    again = max(plan.repeated * members * plan.recipe.epochs, repeated)
    return Work(search + repeated + final, max(expected, search) + again + trainings * plan.winners.recipe.epochs)


class StudyProgress:
    """Shows progress and expected end of a study; where several processes train, in a bar of its own."""

    def __init__(self, study: Study, workers: int) -> None:
        self._study = study
        self._start, self._before = time.monotonic(), work(study, searched=False).done
        self._searched = False
        self._update = bar(f"training in {workers} processes", at_once=True) if workers > 1 else None
        self._show()

    def advance(self) -> None:
        """Update the bar when a training is done."""
        self._searched = self._searched or any(row.kind != "search" for row in self._study.folder.rows())
        self._show()

    def label(self, label: str) -> str:
        """Return the label of a training's bar with the study's expected end."""
        end = self.end
        return f"{label} ({end})" if end else label

    @property
    def end(self) -> str:
        """`the study ends at about 14:32`; empty before the first training of this run is done."""
        now, elapsed = work(self._study, searched=self._searched), time.monotonic() - self._start
        if now.done <= self._before or now.done >= now.expected:
            return ""
        left = timedelta(seconds=elapsed * (now.expected - now.done) / (now.done - self._before))
        return f"the study ends at about {_clock(datetime.now(), left)}"

    def _show(self) -> None:
        if self._update is not None:
            now = work(self._study, searched=self._searched)
            self._update(round(now.done), max(1, round(now.expected)), self.end)


def _clock(now: datetime, left: timedelta) -> str:
    """Return the time of day, with the date where it is not today."""
    end = now + left
    return f"{end:%H:%M}" if end.date() == now.date() else f"{end:%H:%M} on {end:%Y-%m-%d}"
