"""Recorded learning curves as a surrogate: the recorded detectors are the band, and the recorded values the answers."""

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


class RecordedTable:
    """The complete search rows of one recipe. Raises ValueError where there are none."""

    def __init__(
        self, rows: Sequence[Row], recipe_id: str, members: int, resolved: Callable[[DetectorSpec], DetectorSpec]
    ) -> None:
        """`resolved` adds the measurements of its timm backbone to a detector read from a row."""
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
        # A row copied from an equal training (a detector that two families share) has its metrics but took no time.
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
        """Earliest epoch from which on every row has an AP."""
        return max(row.ap_curve[0][0] for rows in self._rows.values() for row in rows)

    @property
    def fingerprint(self) -> str:
        """Hash of the recorded rows."""
        recorded = (row for _, rows in sorted(self._rows.items()) for row in rows)
        return short_hash(replace(row, machine={}, versions={}).to_json() for row in recorded)

    def ap(self, spec: DetectorSpec, seed: int, epoch: int) -> float:
        """Return the recorded AP, interpolated linearly between two recorded epochs."""
        epochs, aps = zip(*self._drawn(spec, seed).ap_curve, strict=True)
        return float(np.interp(epoch, epochs, aps))

    def seconds(self, spec: DetectorSpec, seed: int, epochs: int) -> float:
        """Return the recorded time, in proportion to the epochs."""
        row = self._drawn(spec, seed)
        return row.seconds * epochs / row.epochs_done

    def truth(self, spec: DetectorSpec) -> float:
        """Return the mean final AP of the recorded seeds, the best known estimate."""
        return fmean(row.final["ap"] or 0.0 for row in self._rows[spec.id])

    def _drawn(self, spec: DetectorSpec, seed: int) -> Row:
        """Return one of the detector's rows, the same one throughout a rehearsal."""
        rows = self._rows[spec.id]
        return rows[hashed_integer(f"{spec.id}/{seed}") % len(rows)]
