"""The ladder of a plan: the epochs after which only the better candidates go on. It is read by `reader`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scalesearch.plan.reader import Section, Value


@dataclass(frozen=True, kw_only=True)
class Rung:
    """A fidelity below the full training, as shares of it."""

    epochs: float
    images: float = 1.0
    """Share of the training images, the same images for every candidate."""
    size: float = 1.0
    """Share of the input's sides, in steps of 32 pixels."""


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """The rungs below the top, lowest first, and the share of a rung's candidates that goes on from it."""

    rungs: tuple[Rung, ...]
    keep: float = 0.45
    """With it, 100 candidates and rungs 0.1 and 0.3 take a third of the epochs of full training (docs/rehearsal.md)."""

    def epochs(self, whole: int) -> tuple[int, ...]:
        """Return the epochs at each rung of `whole` epochs of training, with the top; ValueError if two are equal."""
        found = (*(max(1, round(rung.epochs * whole)) for rung in self.rungs), whole)
        if list(found) != sorted(set(found)):
            raise ValueError(
                f"the rungs of a ladder need different numbers of epochs, but at {whole} epochs they are "
                f"{', '.join(map(str, found))}; train longer, or drop a rung"
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return plain data in the form that `read_ladder` reads."""
        rungs = [{"epochs": rung.epochs, "images": rung.images, "size": rung.size} for rung in self.rungs]
        return {"rungs": rungs, "keep": self.keep}


def epochs_at(ladder: Ladder | None, whole: int) -> tuple[int, ...]:
    """Return the epochs at each rung; without a ladder, the end of training is the only one."""
    return ladder.epochs(whole) if ladder else (whole,)


def read_ladder(value: Value | None, epochs: int | None) -> Ladder | None:
    """Read `ladder: {rungs: [0.1, 0.3], keep: 0.45}`; a rung is a share of epochs, or {epochs:, images:, size:}.

    `epochs` of the whole training are None where they are not known yet.
    """
    if value is None:
        return None
    section = value.section()
    rungs = tuple(_rung(item) for item in section.need("rungs").items())
    keep = section.get("keep")
    ladder = Ladder(rungs=rungs, keep=_share(keep) if keep else Ladder.keep)
    section.done()
    if ladder.keep >= 1:
        raise (keep or value).error("must be a share below 1: with 1 every candidate goes on, and there is no ladder")
    _check_order(rungs, section)
    try:
        if epochs is not None:
            ladder.epochs(epochs)
    except ValueError as error:
        raise section.blamed(error) from None
    return ladder


def _rung(value: Value) -> Rung:
    if not value.is_section:
        return Rung(epochs=_below_one(value))
    section = value.section()
    shares = {name: _share(item) for name in ("images", "size") if (item := section.get(name))}
    rung = Rung(epochs=_below_one(section.need("epochs")), **shares)
    section.done()
    return rung


def _share(value: Value) -> float:
    share = value.number(what="a share above 0 and at most 1")
    if not (0 < share <= 1 and math.isfinite(share)):
        raise value.expected("a share above 0 and at most 1")
    return share


def _below_one(value: Value) -> float:
    share = _share(value)
    if share == 1:
        raise value.error("must be a share below 1: the whole training is the top of every ladder and is not listed")
    return share


def _check_order(rungs: Sequence[Rung], section: Section) -> None:
    for name in ("epochs", "images", "size"):
        shares = [getattr(rung, name) for rung in rungs]
        if shares != sorted(shares):
            raise section.error(
                f"must have rungs that grow in {name}, but got {', '.join(map(str, shares))}; put them in order"
            )
