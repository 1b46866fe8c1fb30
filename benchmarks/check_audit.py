"""Does the audit find noise and bad proxies that were put there? Writes results/checks/audit.txt.

    python benchmarks/check_audit.py            # some ten minutes on one core
    python benchmarks/check_audit.py --tables 5 --out /tmp/audit.txt
    python benchmarks/check_audit.py --write plain.csv    # one table of a kind, as for `scalesearch audit plain.csv`

Each table has 40 candidates of search_spaces/landscape.yaml, drawn anew, with three seeds, written as CSV and audited as a
user's is. Their APs are those of the landscape (docs/rehearsal.md) of known noise, at 2, 4, 12 and 20 of 40 epochs and the end:

    alike      all candidates learn at one pace, so that a short training shows the final order and its noise
    plain      the landscape as it is: dear candidates learn more slowly
    speed      made to mis-rank: paces differ so much that a short training shows the pace
    reversed   made to mis-rank: before the end, the order is the opposite one
    shuffled   made to mis-rank: before the end, a candidate has the AP of another one
    twins      all candidates have one true AP: no training can rank them

The tau with another full training that is really there is taken from a fourth seed, which the audit does not see.
"""

from __future__ import annotations

import argparse
import dataclasses
import platform
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import kendalltau

from scalesearch.app.audit_rows import comparisons
from scalesearch.app.rehearse import on_landscape
from scalesearch.evidence.audit import ALL, ProxyAudit, audit
from scalesearch.evidence.rank_bootstrap import Interval95
from scalesearch.evidence.verdict import Verdict, verdict
from scalesearch.rehearsal.landscape import Landscape
from scalesearch.space.enumerated import EnumeratedBand

ROOT = Path(__file__).parents[1]
OUT = ROOT / "results" / "checks" / "audit.txt"
CANDIDATES, SEEDS = 40, 3
EPOCHS, WHOLE = (2, 4, 12, 20), 40
KINDS = ("alike", "plain", "speed", "reversed", "shuffled", "twins")
TRUE = float(np.hypot(0.02, 0.005))
"""Noise of the landscape: between seeds, and along a curve."""


class Audited(NamedTuple):
    """One table's audit, beside what is true of it."""

    found: ProxyAudit
    said: Verdict
    again: float
    """Kendall's tau of the mean of the seeds with a fourth one."""


class Tables:
    """Tables of the landscape; a table is a function of its kind and number."""

    def __init__(self) -> None:
        stage = on_landscape(ROOT / "search_spaces" / "landscape.yaml", (), "plain")
        assert isinstance(stage.band, EnumeratedBand)
        assert isinstance(stage.surrogate, Landscape)
        self._candidates = stage.band.candidates
        self._landscape = stage.surrogate

    def aps(self, kind: str, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return AP [candidates, seeds + 1, epochs and the end] and multiply-adds [candidates]."""
        rng = np.random.default_rng([KINDS.index(kind), number])
        drawn = [self._candidates[i] for i in rng.choice(len(self._candidates), CANDIDATES, replace=False)]
        specs = [one.members[0] for one in drawn]
        land = self._landscape
        if kind == "speed":
            land = dataclasses.replace(land, slowness=2.0, temper=1.0)
        truth = np.array([land.truth(spec) for spec in specs])
        if kind == "twins":
            truth[:] = truth.mean()
        share = np.array([[land.share(spec, epoch) for epoch in (*EPOCHS, WHOLE)] for spec in specs])
        if kind not in ("plain", "speed"):
            share[:] = share.mean(0)
        mean = truth[:, None] * share
        if kind == "reversed":
            mean[:, :-1] = mean[:, :-1].max(0) + mean[:, :-1].min(0) - mean[:, :-1]
        if kind == "shuffled":
            mean[:, :-1] = rng.permutation(mean[:, :-1])
        seeds = rng.integers(2**30) + np.arange(SEEDS + 1)  # the landscape's noise is a function of spec and seed
        luck = np.array(
            [
                [
                    [
                        land.ap(spec, int(seed), epoch) - land.truth(spec) * land.share(spec, epoch)
                        for epoch in (*EPOCHS, WHOLE)
                    ]
                    for seed in seeds
                ]
                for spec in specs
            ]
        )
        return mean[:, None, :] + luck, np.array([one.costs[0]["macs"] for one in drawn])


def csv_of(ap: np.ndarray, macs: np.ndarray) -> str:
    """Return the table as CSV, without its last seed."""
    lines = ["candidate,macs,seed,epoch,ap"]
    for i, cost in enumerate(macs):
        for seed in range(SEEDS):
            lines += [f"c{i},{cost:.0f},{seed},{e},{x:.6f}" for e, x in zip((*EPOCHS, WHOLE), ap[i, seed], strict=True)]
    return "\n".join(lines) + "\n"


def audited(tables: Tables, kind: str, number: int) -> Audited:
    """Write the table, audit it as a user does, and judge it."""
    ap, macs = tables.aps(kind, number)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{kind}.csv"
        path.write_text(csv_of(ap, macs))
        (comparison,) = comparisons(path)
    found = audit(comparison)
    # As the audit has it: one more training with the mean of all seeds but the first.
    again = float(kendalltau(ap[:, 1:SEEDS, -1].mean(1), ap[:, SEEDS, -1]).statistic)
    return Audited(found, verdict(found), again)


def holds(interval: Interval95 | tuple[float, float], value: float) -> bool:
    """Whether the interval holds the value."""
    low, high = interval[-2:]
    return low <= value <= high


def noise_line(found: Sequence[Audited]) -> str:
    """Say how the noise floor compares with the truth."""
    floors = [one.found.comparison.noise for one in found]
    ratio = np.array([floor.sd / TRUE for floor in floors if floor])
    inside = np.mean([holds(floor.interval, TRUE) for floor in floors if floor])
    return (
        f"noise floor by its true value {TRUE:.4f}: mean {ratio.mean():.3f}, range {ratio.min():.2f} .. {ratio.max():.2f}; within "
        f"20 % in {np.mean(abs(ratio - 1) <= 0.2):.1%} of {len(ratio)} tables; its 95 % interval holds the truth in {inside:.1%}"
    )


def kind_lines(kind: str, found: Sequence[Audited]) -> list[str]:
    """Say what the verdicts were, and how taus and ceilings compare with what is really there."""
    trust = Counter(one.said.trust for one in found)
    first = Counter(one.said.from_epochs for one in found if one.said.from_epochs)
    wrong = np.mean([one.said.untrusted_until is not None for one in found])
    speed = np.mean([one.said.measures_speed for one in found])
    lines = [
        f"{kind}: "
        + ", ".join(f"{name} {count}" for name, count in trust.most_common())
        + (f" (from epoch {', '.join(f'{epoch}: {count}' for epoch, count in sorted(first.items()))})" if first else "")
        + f"; after {EPOCHS[0]} epochs its order cannot be trusted: {wrong:.0%}, it measures the speed of learning: {speed:.0%}"
    ]
    cells = []
    for place, epochs in enumerate(EPOCHS):
        taus = [one.found.aps[place].over[ALL].kendall for one in found]
        mean = float(np.mean([tau.value for tau in taus]))
        inside = np.mean([holds(tau, mean) for tau in taus])
        cells.append(f"{epochs}: {mean:.2f} ({inside:.0%})")
    lines.append(f"  mean tau after epochs (and how many 95 % intervals hold that mean): {', '.join(cells)}")
    ceilings = [one.found.ceilings[ALL] for one in found]
    inside = np.mean([holds(one, other.again) for one, other in zip(ceilings, found, strict=True)])
    said, again = np.mean([one.value for one in ceilings]), np.mean([one.again for one in found])
    lines.append(
        f"  one more full training: mean tau said {said:.3f}, there {again:.3f}; the 95 % interval holds it in {inside:.0%}"
    )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=60, help="Tables of each kind.")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--write", type=Path, metavar="KIND.csv", help="Only write the first table of this kind.")
    asked = parser.parse_args()
    if asked.write:
        asked.write.write_text(csv_of(*Tables().aps(asked.write.stem, 0)))
        return
    start, tables = time.process_time(), Tables()
    text = [
        "benchmarks/check_audit.py: the audit of tables of the landscape whose noise and mis-ranking are known",
        f"{asked.tables} tables of each kind, {CANDIDATES} candidates, {SEEDS} seeds, {WHOLE} epochs; a proxy is trusted where the lower",
        "  end of the 95 % interval of Kendall's tau with the full training of the other seeds is at least 0.5",
        "",
    ]
    every: list[Audited] = []
    for kind in KINDS:
        found = [audited(tables, kind, number) for number in range(asked.tables)]
        every += found
        text += kind_lines(kind, found)
        print("\n".join(text[-3:]), flush=True)
    text += ["", noise_line(every)]
    text.append(f"{time.process_time() - start:.0f} s of one core ({platform.processor() or platform.machine()})")
    print("\n".join(text[-2:]))
    asked.out.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
