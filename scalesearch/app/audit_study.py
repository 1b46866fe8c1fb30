"""What `scalesearch audit` does: the noise of a study or a table, and how its short trainings rank, as plain data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scalesearch.app.audit_rows import against, comparisons
from scalesearch.evidence.audit import PredictorAudit, ProxyAudit, ProxyComparison, audit
from scalesearch.evidence.learning_speed import RankMoves
from scalesearch.evidence.noise import NoiseFloor
from scalesearch.evidence.rank_bootstrap import Interval95, RankCorrelation
from scalesearch.evidence.verdict import verdict

RUNS = (1, 2, 3, 5, 10)
"""Numbers of seeds whose smallest difference is given."""


def audit_study(source: Path, full: Path | None = None) -> dict[str, Any]:
    """Return the audits of a study's folder or a table, or of its trainings against those of `full`, as plain data.

    AP is in the unit of the source. Raises ValueError for what cannot be read or compared.
    """
    found = [against(source, full)] if full else comparisons(source)
    return {"source": str(source), "against": str(full) if full else None, "audits": [_audit(one) for one in found]}


def _audit(comparison: ProxyComparison) -> dict[str, Any]:
    found = audit(comparison)
    said = verdict(found)
    return {
        "short": comparison.short,
        "full": comparison.full,
        "within": comparison.within,
        "candidates": len(comparison.candidates),
        "epochs": comparison.epochs,
        "trust": said.trust,
        "trusted_from_epochs": said.from_epochs,
        "untrusted_until_epochs": said.untrusted_until,
        "measures_speed": said.measures_speed,
        "sentences": list(said.sentences),
        "noise": _noise(comparison.noise, found.gap),
        "other_seeds": found.other_seeds,
        "ceilings": {scope: _interval(one) for scope, one in found.ceilings.items()},
        "predictors": [_predictor(one, found) for one in found.predictors],
        "notes": list(comparison.notes),
    }


def _noise(noise: NoiseFloor | None, gap: float) -> dict[str, Any] | None:
    if noise is None:
        return None
    return {
        "sd": noise.sd,
        "interval_95": list(noise.interval),
        "repeated": noise.items,
        "degrees_of_freedom": noise.freedom,
        "differences": [
            {"seeds": runs, "significant": noise.significant(runs), "tellable": noise.tellable(runs)} for runs in RUNS
        ],
        "best_minus_second": gap,
        "seeds_to_tell_them": noise.runs_for(gap),
    }


def _predictor(one: PredictorAudit, whole: ProxyAudit) -> dict[str, Any]:
    return {
        "name": one.name,
        "epochs": one.epochs,
        "over": {scope: _correlation(found) for scope, found in one.over.items()},
        "regret": one.regret,
        "noise_sd": one.noise.sd if one.noise else None,
        "moves": _moves(one.moves, whole) if one.moves else None,
    }


def _moves(moves: RankMoves, whole: ProxyAudit) -> dict[str, Any]:
    return {
        "tau": moves.tau,
        "tau_of_noise_alone": _interval(moves.noise_alone) if moves.noise_alone else None,
        "movers": [
            {"candidate": whole.ranked[i], "rank": moves.short[i], "full_rank": moves.full[i]} for i in moves.movers
        ],
        "movers_by_chance": moves.by_chance,
        "climb_with_cost": _interval(moves.climbs_with_cost) if moves.climbs_with_cost else None,
        "speed_minus_quality": _interval(moves.speed_minus_quality) if moves.speed_minus_quality else None,
        "measures_speed": moves.measures_speed,
    }


def _correlation(found: RankCorrelation) -> dict[str, Any]:
    return {
        "candidates": found.items,
        "kendall": _interval(found.kendall),
        "spearman": _interval(found.spearman),
    }


def _interval(found: Interval95) -> dict[str, Any]:
    return {"value": found.value, "interval_95": [found.low, found.high]}
