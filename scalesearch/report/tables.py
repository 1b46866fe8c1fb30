"""front.csv and trials.csv: one line a trial, flat columns in Optuna's manner."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from scalesearch.records.trials import Trial


def trials_table(found: Sequence[Trial]) -> pd.DataFrame:
    """One line a trial: number, state, proposed_by, values_*, params_*, and each member's id, cost and APs."""
    return pd.DataFrame([_line(trial) for trial in found])


def _line(trial: Trial) -> dict[str, object]:
    line: dict[str, object] = {
        "number": trial.ordinal,
        "state": "COMPLETE" if trial.complete else "PRUNED" if trial.stopped else "FAIL",
        "proposed_by": trial.proposed_by,
        "values_ap": trial.value("ap") if trial.complete else None,
        "values_macs": trial.value("macs"),
        "values_params": trial.value("params"),
    }
    line |= {f"params_{name}": value for name, value in trial.point.items()}
    for row in trial.rows:
        prefix = "" if row.member is None else f"member{row.member}_"
        line |= {f"{prefix}spec_id": row.spec_id, f"{prefix}size": "x".join(map(str, row.spec.size))}
        line |= {f"{prefix}{name}": row.cost[name] for name in ("macs", "params", "activations")}
        line |= {f"{prefix}{name}": row.final.get(name) for name in ("ap", "ap50", "ap75")}
        line |= {f"{prefix}epochs": row.epochs_done, f"{prefix}seed": row.seed, f"{prefix}seconds": round(row.seconds, 2)}
    return line
