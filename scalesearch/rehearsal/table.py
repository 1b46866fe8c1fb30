"""A recorded table of learning curves as a world to rehearse on: its detectors are the band, what was recorded is answered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np

from scalesearch.arch.spec import DetectorSpec
from scalesearch.io.hashes import hashed_integer, short_hash
from scalesearch.records.row import Row
from scalesearch.records.trials import trials
from scalesearch.space.candidates import Candidate


class Table:
    """The complete search rows of one recipe. ValueError where there are none."""

    def __init__(
        self, rows: Sequence[Row], recipe_id: str, members: int, resolved: Callable[[DetectorSpec], DetectorSpec]
    ) -> None:
        """`resolved` gives a detector read from a row what its timm backbone was measured at."""
        known = [
            row
            for row in rows
            if row.recipe_id == recipe_id and row.state == "complete" and row.final.get("ap") is not None
        ]
        searched = [trial for trial in trials(known, members) if trial.complete]
        if not searched:
            raise ValueError(
                f"a table needs complete search rows of the recipe {recipe_id}, but none of {len(rows)} is one"
            )
        trained: dict[tuple[str, int], Row] = {}
        # Rows of an equal training, as of a detector that two families share, have its numbers but took no time.
        for row in sorted(known, key=lambda row: (row.seed, -row.seconds, row.order)):
            if row.kind in ("search", "repeat"):
                trained.setdefault((row.spec_id, row.seed), row)
        self._rows: dict[str, list[Row]] = defaultdict(list)
        for row in trained.values():
            self._rows[row.spec_id].append(row)
        self.candidates = tuple(
            Candidate(
                dict(trial.point),
                tuple(resolved(row.spec) for row in trial.rows),
                tuple(dict(row.cost) for row in trial.rows),
            )
            for trial in searched
        )

    @property
    def first_epoch(self) -> int:
        """The earliest that every row has an AP of."""
        return max(_curve(row)[0][0] for rows in self._rows.values() for row in rows)

    @property
    def fingerprint(self) -> str:
        """Of what is recorded."""
        recorded = (row for _, rows in sorted(self._rows.items()) for row in rows)
        return short_hash(replace(row, machine={}, versions={}).to_json() for row in recorded)

    def ap(self, spec: DetectorSpec, seed: int, epoch: int) -> float:
        """As recorded, on a straight line between two recorded epochs."""
        epochs, aps = zip(*_curve(self._drawn(spec, seed)), strict=True)
        return float(np.interp(epoch, epochs, aps))

    def seconds(self, spec: DetectorSpec, seed: int, epochs: int) -> float:
        """The recorded time, in proportion to the epochs."""
        row = self._drawn(spec, seed)
        return row.seconds * epochs / row.epochs_done

    def truth(self, spec: DetectorSpec) -> float:
        """The mean of the recorded seeds: as much as is known of it."""
        return fmean(row.final["ap"] or 0.0 for row in self._rows[spec.id])

    def _drawn(self, spec: DetectorSpec, seed: int) -> Row:
        """One of the detector's rows, the same one all through a rehearsal."""
        rows = self._rows[spec.id]
        return rows[hashed_integer(f"{spec.id}/{seed}") % len(rows)]


def _curve(row: Row) -> list[tuple[int, float]]:
    """Epochs that an AP was recorded after, and the AP; the end is among them."""
    known = {epoch: ap for epoch, numbers in row.curve if (ap := numbers.get("ap")) is not None}
    return sorted({**known, row.epochs_done: row.final["ap"] or 0.0}.items())
