"""How far a study is, and when it can be expected to end: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from scalesearch.app.progress import Console
from scalesearch.plan.ladder import epochs_at
from scalesearch.plan.plan import Plan
from scalesearch.records.trials import best_trials
from scalesearch.study.study import Study


class Work(NamedTuple):
    """Epochs of training, over all candidates, winners and baselines."""

    done: float
    expected: float
    """In all: exact without a ladder, and for what comes after the search."""


def epochs_of_a_candidate(plan: Plan) -> float:
    """That the search trains of one, on average: of a rung's candidates the ladder's share goes on."""
    rungs = (0, *epochs_at(plan.ladder, plan.recipe.epochs))
    keep = plan.ladder.keep if plan.ladder else 1.0
    return sum((there - here) * keep**i for i, (here, there) in enumerate(pairwise(rungs)))


def work(study: Study, *, searched: bool) -> Work:
    """What is done and what is expected in all; `searched` says that no candidate will come any more."""
    plan, members = study.plan, len(study.unit.budgets)
    search = sum(row.epochs_done for row in study.folder.rows() if row.kind == "search")
    # Winners that have a name are of another recipe than the plan's.
    finals = [row for row in study.folder.rows() if row.kind == "baseline" or (row.kind == "winner" and not row.name)]
    final = sum(row.epochs_done for row in finals)
    top, expected = plan.winners.top, plan.trials * members * epochs_of_a_candidate(plan)
    if searched:
        top, expected = min(top, len(best_trials(study.trials(), plan.objectives))), search
    trainings = (top + len(plan.baselines)) * len(plan.winners.seeds) * members
    return Work(search + final, max(expected, search) + trainings * plan.winners.recipe.epochs)


class StudyProgress:
    """The console of a study's trainings: what is said and shown there tells when the study can be expected to end."""

    def __init__(self, study: Study, workers: int, console: Console) -> None:
        self._study, self._console = study, console
        self._start, self._before = time.monotonic(), work(study, searched=False).done
        self._searched = False
        in_processes = f"training in {workers} processes"
        self._update = console.bar(in_processes, at_once=True) if workers > 1 else None
        self._show()

    def say(self, text: str) -> None:
        """A line that stays; one of a training that is done brings the bar up to date."""
        self._console.say(text)
        self._searched = self._searched or any(row.kind != "search" for row in self._study.folder.rows())
        self._show()

    def bar(self, label: str, *, at_once: bool = False) -> Callable[[int, int, str], None]:
        """The bar of one training, which says the study's end beside its own."""
        end = self.end
        return self._console.bar(f"{label} ({end})" if end else label, at_once=at_once)

    @property
    def end(self) -> str:
        """`the study ends at about 14:32`; nothing before the first training of this run is done."""
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
    """The time of day, with the day where it is another one."""
    end = now + left
    return f"{end:%H:%M}" if end.date() == now.date() else f"{end:%H:%M} on {end:%Y-%m-%d}"
