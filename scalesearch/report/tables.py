"""front.csv and trials.csv: one line a trial, flat columns named as Optuna's."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from scalesearch.records.trials import Trial

_ALWAYS = ("macs", "params", "activations")


def trials_table(found: Sequence[Trial]) -> pd.DataFrame:
    """Return one line a trial: number, state, proposed_by, values_*, params_*, and each member's id, cost and APs."""
    lines = [_line(trial) for trial in found]
    return pd.DataFrame(lines, columns=None if lines else ["number", "state", "proposed_by"])


def _line(trial: Trial) -> dict[str, object]:
    line: dict[str, object] = {
        "number": trial.ordinal,
        "state": "COMPLETE" if trial.complete else "PRUNED" if trial.stopped else "FAIL",
        "proposed_by": trial.proposed_by,
        "values_ap": trial.value("ap") if trial.complete else None,
        "values_macs": trial.value("macs"),
        "values_params": trial.value("params"),
    }
    asked = [name for name in trial.rows[0].cost if name not in _ALWAYS]
    line |= {f"values_{name}": trial.value(name) for name in asked}
    line |= {f"params_{name}": value for name, value in trial.point.items()}
    for row in trial.rows:
        prefix = "" if row.member is None else f"member{row.member}_"
        line |= {f"{prefix}spec_id": row.spec_id, f"{prefix}size": "x".join(map(str, row.spec.size))}
        asked = [name for name in row.cost if name not in _ALWAYS]
        line |= {f"{prefix}{name}": row.cost[name] for name in (*_ALWAYS, *asked)}
        line |= {f"{prefix}{name}": row.final.get(name) for name in ("ap", "ap50", "ap75")}
        line |= {
            f"{prefix}epochs": row.epochs_done,
            f"{prefix}seed": row.seed,
            f"{prefix}seconds": round(row.seconds, 2),
        }
    return line
