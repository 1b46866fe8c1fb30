"""What an audit comes to, in sentences: can the proxy be trusted here, from how many epochs, and what does it measure?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scalesearch.evidence.audit import ALL, BEYOND_COST, HALF, PredictorAudit, ProxyAudit
from scalesearch.evidence.rank_bootstrap import FEW, Interval95, RankCorrelation

TRUST = 0.5
"""A proxy is trusted where the lower end of the 95 % interval of Kendall's tau is at least this: three pairs of four are in
the same order."""
Trust = Literal["trusted", "untrusted", "noise", "open", "unknown"]
_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict on a proxy."""

    trust: Trust
    """untrusted: not even the upper end reaches 0.5. noise: one more full training would not, either. open: the interval
    holds 0.5. unknown: there are too few candidates, or no AP before the end."""
    from_epochs: int | None
    """Epochs from which on it is trusted."""
    untrusted_until: int | None
    """Epochs up to which its order cannot be trusted."""
    measures_speed: bool
    """Whether its first recorded epoch measures the speed of learning rather than the final AP."""
    sentences: tuple[str, ...]
    """The first is the verdict; the others say more."""


def judge(found: RankCorrelation, ceiling: Interval95 | None) -> Trust:
    """Judge one correlation with full training; `ceiling` is that of one more full training, None where it is unknown."""
    if found.kendall.low >= TRUST:
        return "trusted"
    if found.kendall.high < min(TRUST, ceiling.low if ceiling else TRUST):
        return "untrusted"
    return "noise" if ceiling and ceiling.value < TRUST else "open"


def verdict(audit: ProxyAudit) -> Verdict:
    """Return the verdict on the APs of the short trainings."""
    known = [(one, found) for one in audit.aps if (found := one.over.get(ALL))]
    count = len(audit.comparison.candidates)
    if count < FEW:
        text = f"{count} candidates trained both ways are too few for a rank correlation, which needs {FEW}."
        return Verdict(trust="unknown", from_epochs=None, untrusted_until=None, measures_speed=False, sentences=(text,))
    if not known:
        text = (
            "There is no AP before the end that orders the candidates; record some with recipe.eval_every or a ladder."
        )
        free = _free(audit, 0.0)
        return Verdict(
            trust="unknown", from_epochs=None, untrusted_until=None, measures_speed=False, sentences=(text, *free)
        )
    states = [judge(found, audit.ceilings.get(ALL)) for _, found in known]
    place = len(states)
    while place and states[place - 1] == "trusted":
        place -= 1
    trusted = place < len(states)
    one, found = known[place if trusted else -1]
    trust: Trust = "trusted" if trusted else states[-1]
    speed = [other for other, _ in known if other.moves and other.moves.measures_speed]
    wrong = [
        other for (other, _), state in zip(known, states, strict=True) if state == "untrusted" and other is not one
    ]
    sentences = [_trust(audit, one, found, trust)]
    sentences += (
        [f"Up to {_after(audit, wrong[-1])} its order cannot be trusted: tau {shown(wrong[-1].over[ALL].kendall)}."]
        if wrong
        else []
    )
    sentences += [*_half(audit, one), *_beyond_cost(audit, one)]
    sentences += [
        *_regret(audit, one),
        *_free(audit, found.kendall.value),
        *_moves(audit, speed[-1] if speed else known[0][0]),
    ]
    return Verdict(
        trust=trust,
        from_epochs=one.epochs if trusted else None,
        untrusted_until=one.epochs if trust == "untrusted" else wrong[-1].epochs if wrong else None,
        measures_speed=known[0][0] in speed,
        sentences=tuple(sentences),
    )


def shown(interval: Interval95) -> str:
    """Return `0.71 (0.52 .. 0.86)`."""
    return f"{interval.value:.2f} ({interval.low:.2f} .. {interval.high:.2f})"


def _after(audit: ProxyAudit, one: PredictorAudit) -> str:
    of = f" of {audit.comparison.epochs}" if audit.comparison.within else ""
    return f"{one.epochs}{of} epoch{'s' if one.epochs != 1 or of else ''}"


def _trust(audit: ProxyAudit, one: PredictorAudit, found: RankCorrelation, trust: Trust) -> str:
    after, tau = _after(audit, one), shown(found.kendall)
    with_what = "with the full training of other seeds" if audit.other_seeds else "with full training"
    measured = f"Kendall's tau {with_what} is {tau} over {found.items} candidates"
    ceiling = audit.ceilings.get(ALL)
    more = (
        f"; one more full training would have {shown(ceiling)}"
        if ceiling
        else "; its ceiling is unknown, as no full training has another seed"
    )
    if trust == "trusted":
        return f"The proxy can be trusted here from {after} on: {measured}{more}."
    if trust == "untrusted":
        return f"The proxy cannot be trusted here: after {after}, the longest recorded, {measured}{more}."
    if trust == "noise":
        return (
            f"One seed each cannot rank these candidates, trained for however long: one more full training would have a "
            f"Kendall's tau of only {shown(ceiling) if ceiling else ''}; after {after} {measured}. Repeat seeds."
        )
    needed = _needed(found)
    return (
        f"It is open whether the proxy can be trusted here: after {after} {measured}{more}"
        + (f"; some {needed:,} candidates would decide" if needed else "")
        + "."
    )


def _needed(found: RankCorrelation) -> int | None:
    """Return how many candidates would put the lower end of this tau at 0.5: intervals shrink with their root."""
    tau = found.kendall
    if tau.value < TRUST + 0.05:
        return None
    return round(found.items * ((tau.value - tau.low) / (tau.value - TRUST)) ** 2) + 1


def _half(audit: ProxyAudit, one: PredictorAudit) -> list[str]:
    if (found := one.over.get(HALF)) is None:
        return []
    ceiling = audit.ceilings.get(HALF)
    text = f"Among the better half by full training it is {shown(found.kendall)}"
    text += f", of {shown(ceiling)}" if ceiling else ""
    return [text + (": that it orders the better ones is not shown." if found.kendall.low <= 0 else ".")]


def _beyond_cost(audit: ProxyAudit, one: PredictorAudit) -> list[str]:
    if (found := one.over.get(BEYOND_COST)) is None:
        return []
    ceiling = audit.ceilings.get(BEYOND_COST)
    text = f"Beyond what {audit.comparison.cost} explains it is {shown(found.kendall)}"
    return [text + (f", of {shown(ceiling)}." if ceiling else ".")]


def _regret(audit: ProxyAudit, one: PredictorAudit) -> list[str]:
    if one.regret <= 0:
        return ["The candidate that it puts first is the best."]
    noise = audit.comparison.noise
    hidden = " within the noise" if noise and one.regret <= noise.significant(1) else ""
    return [f"The candidate that it puts first is {one.regret:.3g} below the best{',' if hidden else ''}{hidden}."]


def _free(audit: ProxyAudit, tau: float) -> list[str]:
    known = [(one, found.kendall) for one in audit.free if (found := one.over.get(ALL))]
    if not known:
        return []
    one, best = max(known, key=lambda pair: abs(pair[1].value))
    if abs(best.value) < tau:
        return []
    what = (
        "ranks no worse without any training" if tau else f"is the best of {len(known)} numbers known without training"
    )
    return [f"{one.name} {what}: tau {shown(best)}."]


def _moves(audit: ProxyAudit, one: PredictorAudit) -> list[str]:
    if (moves := one.moves) is None:
        return []
    after, count = _after(audit, one), len(moves.full)
    if moves.noise_alone is None:
        return ["Which ranks move with epochs is not told from noise, as no full training has another seed."]
    named = [f"{audit.ranked[i]} from {moves.short[i]} to {moves.full[i]}" for i in moves.movers[:_NAMED]]
    listed = f" ({', '.join(named)})" if named else ""
    many = f"{len(moves.movers)} of {count} candidates move by more ranks than noise explains, {moves.by_chance:.1f} would by chance"
    if moves.measures_speed:
        text = f"After {after} the order is that of the speed of learning more than of the final AP: {many}{listed}."
    elif moves.more_than_noise:
        text = f"Ranks still move after {after}: {many}{listed}."
    else:
        return [f"After {after} no more ranks move than noise explains ({len(moves.movers)} of {count})."]
    if (climb := moves.climbs_with_cost) and abs(climb.value) > 0.2 and climb.low * climb.high > 0:
        text += f" {'Dear' if climb.value > 0 else 'Cheap'} candidates climb: tau {shown(climb)} with {audit.comparison.cost}."
    return [text]
