"""Tables of an audit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from scalesearch.console.tables import table, wide

_SCOPES = {"all": "Kendall's tau", "better half": "better half", "beyond cost": "beyond cost"}


def show_audits(found: Mapping[str, Any]) -> None:
    """Print what `audit_study` returned: for each comparison its verdict, its noise and its predictors."""
    console = wide()
    for i, one in enumerate(found["audits"]):
        if i:
            console.print()
        what = one["short"] if one["within"] else f"{one['short']} against {one['full']}"
        console.print(f"{what}: {one['candidates']} candidates", markup=False)
        for sentence in one["sentences"]:
            console.print(sentence, markup=False)
        if one["predictors"]:
            console.print()
            _noise(console, one["noise"])
            _predictors(console, one)
        for note in one["notes"]:
            console.print(note, markup=False)


def _noise(console: Console, noise: Mapping[str, Any] | None) -> None:
    if noise is None:
        console.print("noise: unknown, as no full training has another seed", markup=False)
        return
    low, high = noise["interval_95"]
    console.print(
        f"noise: standard deviation of one training {noise['sd']:.3g} ({low:.3g} .. {high:.3g}), from {noise['repeated']} "
        f"candidates trained again, {noise['degrees_of_freedom']} degrees of freedom",
        markup=False,
    )
    made = table("seeds", "significant from", "found 4 times in 5 from")
    for one in noise["differences"]:
        made.add_row(str(one["seeds"]), f"{one['significant']:.3g}", f"{one['tellable']:.3g}")
    console.print(made)
    if seeds := noise["seeds_to_tell_them"]:
        would = f"{seeds:,} seeds of each tell" if seeds > 1 else "one seed of each tells"
        console.print(
            f"the best is {noise['best_minus_second']:.3g} ahead of the second: {would} such a difference", markup=False
        )


def _predictors(console: Console, audit: Mapping[str, Any]) -> None:
    scopes = [scope for scope in _SCOPES if any(scope in one["over"] for one in audit["predictors"])]
    if not scopes:
        return
    moved = any(one["moves"] and one["moves"]["tau_of_noise_alone"] for one in audit["predictors"])
    made = table("predictor", "epochs", *(_SCOPES[scope] for scope in scopes), "Spearman's rho", "regret")
    if moved:
        made.add_column("moved", justify="right")
    for one in audit["predictors"]:
        found = one["over"]
        cells = [_shown(found[scope]["kendall"]) if scope in found else "" for scope in scopes]
        rho = _shown(found["all"]["spearman"]) if "all" in found else ""
        moves = [_moves(one["moves"])] if moved else []
        made.add_row(one["name"], str(one["epochs"] or ""), *cells, rho, f"{one['regret']:.3g}", *moves)
    if audit["ceilings"]:
        cells = [_shown(audit["ceilings"][scope]) if scope in audit["ceilings"] else "" for scope in scopes]
        made.add_row("one more full training", str(audit["epochs"]), *cells)
    console.print(made)


def _moves(moves: Mapping[str, Any] | None) -> str:
    return f"{len(moves['movers'])}" if moves else ""


def _shown(one: Mapping[str, Any]) -> str:
    low, high = one["interval_95"]
    return f"{one['value']:.2f} ({low:.2f} .. {high:.2f})"
