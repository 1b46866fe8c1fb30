"""What a report says, before any of it is drawn: all the logic of the page and the picture is here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from scalesearch.evidence.noise import Group, Spread, by_seed, seed_sd
from scalesearch.plan.plan import Plan
from scalesearch.records.row import Row
from scalesearch.records.trials import Trial, best_trials, trials


class Audit(NamedTuple):
    """The proxy against full training, for the candidates that one recipe trained fully."""

    proxies: list[Row]
    """Their rows of the search, best full AP first."""
    full: list[Group]
    """The same, fully trained."""


class Facts(NamedTuple):
    """A study as its report tells it."""

    plan: Plan
    trials: list[Trial]
    """Whole search trials by ordinal, failed ones too."""
    front: list[Trial]
    """The trials that none beats in every objective, best AP first, on the selection split."""
    winners: list[Group]
    """Fully trained detectors of the search, best mean AP first, on val."""
    baselines: list[Group]
    """Named designs trained like the winners, on val."""
    failed: list[Row]

    @property
    def audits(self) -> list[Audit]:
        """For each recipe that trained winners, their AP in the search beside that of full training."""
        searched = {(row.ordinal, row.member): row for trial in self.trials for row in trial.rows}
        found: dict[str, Audit] = {}
        for group in self.winners:
            row = searched.get((group.first.ordinal, group.first.member))
            if row and row.final.get("ap") is not None and group.spread():
                audit = found.setdefault(group.first.recipe_id, Audit([], []))
                audit.proxies.append(row)
                audit.full.append(group)
        return list(found.values())

    @property
    def random(self) -> list[Trial]:
        """The complete trials that were drawn at random inside the band: what any sampler must beat."""
        return [trial for trial in self.trials if trial.complete and trial.proposed_by == "random"]

    @property
    def asked(self) -> list[Trial]:
        """The complete trials that a sampler proposed."""
        return [trial for trial in self.trials if trial.complete and trial.proposed_by != "random"]

    @property
    def costs(self) -> tuple[str, ...]:
        """The costs among the objectives, or macs: what AP is drawn against."""
        return tuple(name for name in self.plan.objectives if name != "ap") or ("macs",)

    def best_at(self, cost: str) -> list[Trial]:
        """The complete trials that none beats in both AP and this cost; none where it is no objective."""
        if cost not in self.plan.objectives:
            return []
        return best_trials(self.trials, ("ap", cost))

    @property
    def candidates(self) -> Spread | None:
        """AP over the complete candidates of the search."""
        values = tuple(trial.value("ap") for trial in self.trials if trial.complete)
        return Spread(values) if values else None

    @property
    def seeds(self) -> float | None:
        """Pooled standard deviation of AP over seeds, of winners and baselines."""
        return seed_sd([*self.winners, *self.baselines])

    @property
    def sizes(self) -> str:
        """The input sizes of the candidates, `HxW`, smallest first; the ends where there are many."""
        found = sorted({row.spec.size for trial in self.trials for row in trial.rows})
        told = [f"{h}x{w}" for h, w in found]
        return ", ".join(told) if len(told) <= 4 else f"{told[0]} .. {told[-1]}"


def gather(plan: Plan, rows: Sequence[Row]) -> Facts:
    """The facts of a study: a pure function of its plan and rows."""
    found = trials(rows, members=len(plan.bands))
    return Facts(
        plan=plan,
        trials=found,
        front=best_trials(found, plan.objectives),
        winners=by_seed(rows, ["winner"]),
        baselines=by_seed(rows, ["baseline"]),
        failed=[row for row in rows if row.state == "failed"],
    )
