"""Check of a study: every proposal is derived again from the rows that it was told, and compared with its row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from scalesearch.plan.plan import Plan
from scalesearch.records.row import Row
from scalesearch.records.trials import Trial, trials
from scalesearch.space.band import Band, EmptyBandError
from scalesearch.study.derive import Taken, Turn, derive_proposal, derive_repeat, repeats_by_turn
from scalesearch.study.propose import Proposal, propose, reads_results


class StrayRowError(ValueError):
    """A row's proposal does not follow from the rows that it was told; the message names the row."""


class Checked(NamedTuple):
    """How many proposals were derived again, and how many could not be."""

    derived: int
    unknown: int
    """Rows from before it was kept what they were told: repeats, and candidates on a ladder."""


def check_proposals(plan: Plan, band: Band, rows: Sequence[Row], sent: Iterable[Row] = ()) -> Checked:
    """Derive each proposal and repeat of a study from its rows. Raises StrayRowError for the first that does not follow.

    `sent` are the rows without results of trainings in flight.
    """
    found = trials(rows, len(plan.bands))
    taken = {trial.ordinal: Taken(trial.key, trial.point) for trial in found}
    for row in (row for row in sent if row.kind == "search"):
        taken.setdefault(row.ordinal, Taken(band.unit.solve(row.point).key, dict(row.point)))
    repeats = repeats_by_turn([*rows, *sent])
    results = [_followed(plan, band, found, taken, trial) for trial in found]
    results += [_repeated(plan, found, repeats, turn) for turn in sorted(repeats)]
    return Checked(sum(results), len(results) - sum(results))


def _followed(plan: Plan, band: Band, found: list[Trial], taken: Mapping[int, Taken], trial: Trial) -> bool:
    """Whether the proposal of a trial could be derived; StrayRowError where another one follows."""
    row, ordinal = trial.rows[0], trial.ordinal
    if missing := [at for at in range(ordinal) if at not in taken]:
        raise StrayRowError(f"{row.file_name}: it cannot be checked, since candidate {missing[0]} before it has no row")
    if any(other.told != row.told for other in trial.rows):
        raise StrayRowError(
            f"{row.file_name}: the members of a candidate were told the same, but its rows differ in told"
        )
    try:
        if row.told is not None:
            proposal = derive_proposal(plan, band, ordinal, row.told, found, taken)
        elif plan.ladder and reads_results(band, plan.sampler, ordinal):
            return False
        else:
            proposal = _as_before(plan, band, ordinal, found, taken)
    except (EmptyBandError, ValueError) as error:
        raise StrayRowError(f"{row.file_name}: its proposal cannot be derived: {error}") from None
    if (proposal.candidate.key, proposal.proposed_by) != (trial.key, trial.proposed_by):
        raise StrayRowError(
            f"{row.file_name}: a proposal follows from the rows that it was told, which give {_text(proposal)}, but the row has "
            f"{trial.proposed_by} {'+'.join(trial.key)}: this row or an earlier one was changed, or other code wrote it"
        )
    return True


def _as_before(plan: Plan, band: Band, ordinal: int, found: list[Trial], taken: Mapping[int, Taken]) -> Proposal:
    """Return a proposal from before rows had `told`: it saw all at least as many ordinals back as there are workers, and
    only ehvi knew what was in training."""
    workers = plan.workers or 1
    earlier = [trial for trial in found if trial.ordinal <= ordinal - workers]
    busy = [taken[at].point for at in range(max(0, ordinal - workers + 1), ordinal)]
    return propose(
        band,
        plan.sampler,
        plan.objectives,
        plan.seed,
        ordinal,
        earlier,
        taken={taken[at].key for at in range(ordinal)},
        pending=busy if plan.sampler.name == "ehvi" else [],
    )


def _repeated(plan: Plan, found: list[Trial], repeats: Mapping[int, Turn], turn: int) -> bool:
    """Whether a repeat could be derived; StrayRowError where another one follows."""
    one = repeats[turn]
    if one.told is None:
        return False
    name = f"repeat {turn}, of candidate {one.again[0]} with seed {one.again[1]}"
    if missing := [at for at in range(turn) if at not in repeats]:
        raise StrayRowError(f"{name}: it cannot be checked, since repeat {missing[0]} before it has no row")
    try:
        again = derive_repeat(plan, turn, one.told, found, repeats)
    except ValueError as error:
        raise StrayRowError(f"{name}: it cannot be derived: {error}") from None
    if again != one.again:
        raise StrayRowError(
            f"{name}: a repeat follows from the rows that it was told, which give {again}: one of them was changed"
        )
    return True


def _text(proposal: Proposal) -> str:
    return f"{proposal.proposed_by} {'+'.join(proposal.candidate.key)}"
