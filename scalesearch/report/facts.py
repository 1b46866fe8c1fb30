"""Contents of a report: all logic behind the page and the plots, without drawing."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from scalesearch.evidence.noise import Group, NoiseFloor, Spread, by_seed, floor_of, noise_floor, seed_sd
from scalesearch.plan.plan import Plan
from scalesearch.records.front import Estimate, Flattery, best_trials, estimates, flattery, runs_of
from scalesearch.records.row import Row
from scalesearch.records.trials import Trial, trials


class Audit(NamedTuple):
    """Proxy training against full training, for the candidates fully trained by one recipe."""

    proxies: list[Row]
    """Their search rows, best full AP first."""
    full: list[Group]
    """Their full trainings, in the same order."""


class Facts(NamedTuple):
    """A study as its report presents it."""

    plan: Plan
    trials: list[Trial]
    """Search trials with all members, by ordinal, including failed ones."""
    front: list[Trial]
    """Non-dominated trials, best AP first, on the selection split."""
    winners: list[Group]
    """Fully trained detectors of the search, best mean AP first, on val."""
    baselines: list[Group]
    """Named designs trained like the winners, on val."""
    failed: list[Row]

    @property
    def audits(self) -> list[Audit]:
        """For each recipe that trained winners: their search rows beside their full trainings."""
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
        """Complete trials drawn at random inside the band: the reference that a sampler must beat."""
        return [trial for trial in self.trials if trial.complete and trial.proposed_by == "random"]

    @property
    def asked(self) -> list[Trial]:
        """Complete trials that a sampler proposed."""
        return [trial for trial in self.trials if trial.complete and trial.proposed_by != "random"]

    @property
    def costs(self) -> tuple[str, ...]:
        """Costs among the objectives, or macs where there are none; AP is plotted against them."""
        return tuple(name for name in self.plan.objectives if name != "ap") or ("macs",)

    def best_at(self, cost: str) -> list[Trial]:
        """Return the complete trials non-dominated in AP and this cost; none where the cost is no objective."""
        if cost not in self.plan.objectives:
            return []
        return best_trials(self.trials, ("ap", cost))

    @property
    def estimates(self) -> dict[int, Estimate]:
        """By ordinal, the estimated mean AP of each complete trial; empty where nothing was trained again."""
        complete = [trial for trial in self.trials if trial.complete]
        if not any(trial.repeats for trial in complete):
            return {}
        return {trial.ordinal: one for trial, one in zip(complete, estimates(complete), strict=True)}

    @property
    def flattery(self) -> Flattery | None:
        """How much the best single run overstates its candidate; None where nothing was trained again."""
        return flattery(self.trials)

    @property
    def candidates(self) -> Spread | None:
        """Spread of AP over the complete candidates of the search."""
        values = tuple(trial.value("ap") for trial in self.trials if trial.complete)
        return Spread(values) if values else None

    @property
    def seeds(self) -> float | None:
        """Standard deviation of AP over seeds, pooled over winners and baselines."""
        return seed_sd([*self.winners, *self.baselines])

    @property
    def search_noise(self) -> NoiseFloor | None:
        """Noise of one run of a trial: over the search's repeats, else over winners and baselines."""
        if found := noise_floor(runs_of(trial) for trial in self.trials if trial.complete):
            return found
        members = len(self.plan.bands)  # a trial's AP is their mean
        full = floor_of([*self.winners, *self.baselines])
        return full and NoiseFloor(full.sd / members**0.5, full.freedom, full.items)

    @property
    def not_told_apart(self) -> dict[int, list[Trial]] | None:
        """By ordinal of each trial of the front, the trials that cost no more and whose AP is not significantly lower.

        The test is Student's t at 95 % between two means over seeds. Best AP first. None where the noise is unknown.
        """
        if (noise := self.search_noise) is None:
            return None
        costs = [name for name in self.plan.objectives if name != "ap"]
        runs = {trial.ordinal: runs_of(trial) for trial in self.trials if trial.complete}
        means = {ordinal: fmean(values) for ordinal, values in runs.items()}
        found: dict[int, list[Trial]] = {}
        for best in self.front:
            near = [
                trial
                for trial in self.trials
                if trial.complete
                and trial.ordinal != best.ordinal
                and all(trial.value(name) <= best.value(name) for name in costs)
                and means[best.ordinal] - means[trial.ordinal]
                <= noise.significant(len(runs[best.ordinal]), len(runs[trial.ordinal]))
            ]
            found[best.ordinal] = sorted(near, key=lambda trial: (-means[trial.ordinal], trial.ordinal))
        return found

    @property
    def sizes(self) -> str:
        """Input sizes of the candidates, `HxW`, smallest first; only smallest and largest where there are many."""
        found = sorted({row.spec.size for trial in self.trials for row in trial.rows})
        shown = [f"{h}x{w}" for h, w in found]
        return ", ".join(shown) if len(shown) <= 4 else f"{shown[0]} .. {shown[-1]}"


def gather(plan: Plan, rows: Sequence[Row]) -> Facts:
    """Return the facts of a study, a pure function of its plan and rows."""
    found = trials(rows, members=len(plan.bands))
    return Facts(
        plan=plan,
        trials=found,
        front=best_trials(found, plan.objectives),
        winners=by_seed(rows, ["winner"]),
        baselines=by_seed(rows, ["baseline"]),
        failed=[row for row in rows if row.state == "failed"],
    )
