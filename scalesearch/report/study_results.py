"""`StudyResults`: the results of a study for notebooks: trials, front, winners and a data frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from scalesearch.plan.plan import Plan, read_plan
from scalesearch.records.folder import PLAN, check_study, read_rows
from scalesearch.records.row import Row
from scalesearch.records.trials import Trial
from scalesearch.report.facts import Facts, gather

_STATES = {True: "COMPLETE", False: "FAIL"}


@dataclass(frozen=True)
class StudyResults:
    """The results of a study, read once from its folder."""

    folder: Path
    plan: Plan
    rows: tuple[Row, ...]
    """All trainings, ordered: search, winners, baselines."""

    @cached_property
    def facts(self) -> Facts:
        """Contents of the report: winners and baselines grouped over seeds, failures, noise."""
        return gather(self.plan, self.rows)

    @property
    def trials(self) -> list[Trial]:
        """The trials by ordinal."""
        return self.facts.trials

    @property
    def best_trials(self) -> list[Trial]:
        """The front: the non-dominated complete trials, best AP first."""
        return self.facts.front

    def trials_dataframe(self) -> pd.DataFrame:
        """Return one line a trial, with the columns of Optuna's `trials_dataframe`.

        number, values_<objective> (None for a trial that did not reach the top rung), duration, params_<axis>,
        user_attrs_* (proposed_by, spec_id, epochs, costs and APs; for a family a list with an entry for each member),
        state (COMPLETE, PRUNED by the ladder, FAIL).
        """
        return pd.DataFrame([_line(trial, self.plan.objectives) for trial in self.trials])


def read_study(folder: str | Path) -> StudyResults:
    """Read the study in `folder`, also while it runs. Raises StudyError where there is none or a row is broken."""
    path = Path(folder)
    check_study(path)
    return StudyResults(path, read_plan(path / PLAN), read_rows(path))


def _line(trial: Trial, objectives: tuple[str, ...]) -> dict[str, object]:
    known = {name: name != "ap" or trial.complete for name in objectives}
    line: dict[str, object] = {"number": trial.ordinal}
    line |= {f"values_{name}": trial.value(name) if known[name] else None for name in objectives}
    line["duration"] = pd.Timedelta(seconds=sum(row.seconds for row in trial.rows))
    line |= {f"params_{name}": value for name, value in sorted(trial.point.items())}
    line["user_attrs_proposed_by"] = trial.proposed_by
    members = [_member(row) for row in trial.rows]
    line |= {f"user_attrs_{name}": _one_or_all([member[name] for member in members]) for name in members[0]}
    line["state"] = "PRUNED" if trial.stopped else _STATES[trial.complete]
    return line


def _member(row: Row) -> dict[str, object]:
    found: dict[str, object] = {"spec_id": row.spec_id, "size": "x".join(map(str, row.spec.size))}
    found |= {"epochs": row.epochs_done, "seed": row.seed, **row.cost}
    return found | {name: row.final.get(name) for name in ("ap", "ap50", "ap75")}


def _one_or_all(values: list[object]) -> object:
    return values[0] if len(values) == 1 else values
