"""Statistics of what compare_samplers.py found, over seeds and tables: pure functions. sampler_page.py writes them.

Friedman's test and the critical difference of mean ranks (Nemenyi) are as in Demsar, "Statistical comparisons of
classifiers over multiple data sets", JMLR 7 (2006), sec. 3.2.2: CD = q sqrt(k (k + 1) / (6 N)) for k samplers on N tables,
q the 95 % quantile of the studentized range for infinite degrees of freedom, divided by the root of 2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
from compare_samplers import SAMPLERS, Run, read_lines
from numpy.typing import NDArray
from scipy.stats import friedmanchisquare, rankdata, studentized_range
from table_problems import NAMES, TRIALS

from scalesearch.evidence.noise import Spread
from scalesearch.rehearsal.comparison_page import spread_text

REFERENCE, BASE = "ehvi", "random"
RESAMPLES = 2_000
LEAST_SEEDS = 5
"""Seeds on each table that a sampler needs to be ranked."""


@dataclass(frozen=True)
class Results:
    """All runs, by table and sampler; the lists are by seed."""

    runs: Mapping[tuple[str, str], Sequence[Run]]

    @cached_property
    def tables(self) -> list[str]:
        return [name for name in NAMES if any((name, sampler) in self.runs for sampler in SAMPLERS)]

    @cached_property
    def samplers(self) -> list[str]:
        """The samplers with LEAST_SEEDS on all tables, which are ranked."""
        return [one for one in self.everywhere if all(len(self.runs[t, one]) >= LEAST_SEEDS for t in self.tables)]

    @cached_property
    def everywhere(self) -> list[str]:
        """The samplers that were run on all tables."""
        return [one for one in SAMPLERS if all((table, one) in self.runs for table in self.tables)]

    @cached_property
    def partial(self) -> list[str]:
        """The others, which were run on fewer tables or seeds."""
        return [one for one in SAMPLERS if one not in self.samplers and any(name == one for _, name in self.runs)]

    def curves(self, table: str, sampler: str, what: str) -> NDArray[np.float64]:
        """Return [seeds, evaluations]."""
        return np.stack([run.curve(what) for run in self.runs[table, sampler]])

    def last(self, table: str, sampler: str, what: str) -> Spread:
        return Spread(tuple(self.curves(table, sampler, what)[:, -1].tolist()))

    def paired(self, table: str, one: str, other: str) -> Spread | None:
        """Return the differences in final hypervolume, one minus other, over the seeds that both have."""
        a = {run.seed: run.curve("volume")[-1] for run in self.runs.get((table, one), ())}
        b = {run.seed: run.curve("volume")[-1] for run in self.runs.get((table, other), ())}
        values = tuple(float(a[seed] - b[seed]) for seed in sorted(a.keys() & b.keys()))
        return Spread(values) if values else None


def read_results(file: Path) -> Results:
    """Read the runs. Raises ValueError where a table was searched in two setups."""
    found: dict[tuple[str, str], list[Run]] = {}
    for run in read_lines(file):
        found.setdefault((run.table, run.sampler), []).append(run)
    for table in {table for table, _ in found}:
        if len({run.setup for (name, _), runs in found.items() if name == table for run in runs}) > 1:
            raise ValueError(f"{file}: the runs on {table} are of two setups; remove the older ones")
    return Results({key: sorted(runs, key=lambda run: run.seed) for key, runs in found.items()})


def verdict(difference: Spread | None) -> int | None:
    """Return 1 or -1 where the 95 % interval of a difference is above or below 0, else 0; None without an interval."""
    if difference is None or difference.interval is None:
        return None
    low, high = difference.interval
    return 1 if low > 0 else -1 if high < 0 else 0


class Needed(NamedTuple):
    """Evaluations until a sampler's mean hypervolume is that of random after TRIALS, geometric mean over tables."""

    mean: float
    low: float
    high: float
    never: int
    """Tables on which it does not get there: those count with TRIALS, so the mean is too low."""


def needed(results: Results, sampler: str) -> Needed:
    """Return the evaluations needed, with a bootstrap interval over seeds."""
    rng = np.random.default_rng(0)
    logs, never = np.zeros(RESAMPLES + 1), 0
    for table in results.tables:
        mine, base = (results.curves(table, one, "volume") for one in (sampler, BASE))
        means = _resampled(mine, rng)
        target = (means if sampler == BASE else _resampled(base, rng))[:, -1]
        there = means >= target[:, None] - 1e-12
        first = np.where(there.any(axis=1), there.argmax(axis=1) + 1, TRIALS)
        never += not there[0].any()
        logs += np.log(first)
    values = np.exp(logs / len(results.tables))
    low, high = np.quantile(values[1:], (0.025, 0.975))
    return Needed(float(values[0]), float(low), float(high), never)


def _resampled(curves: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the mean curve, then that of resamples of the seeds [1 + RESAMPLES, evaluations]."""
    seeds = len(curves)
    weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES) / seeds
    return np.concatenate([curves.mean(axis=0, keepdims=True), weights @ curves])


class Ranks(NamedTuple):
    """Mean ranks over tables, 1 the best."""

    mean: dict[str, float]
    statistic: float
    p: float
    difference: float
    """Two mean ranks farther apart than this differ at the 5 % level."""


def mean_ranks(results: Results, what: str = "volume") -> Ranks:
    """Return the ranks by the mean over seeds after TRIALS, and the tests."""
    sign = -1 if what == "volume" else 1
    means = np.array(
        [[sign * results.last(table, one, what).mean for one in results.samplers] for table in results.tables]
    )
    k, n = len(results.samplers), len(results.tables)
    ranks = np.apply_along_axis(rankdata, 1, means).mean(axis=0)
    statistic, p = friedmanchisquare(*means.T)
    q = studentized_range.ppf(0.95, k, np.inf) / math.sqrt(2)
    named = dict(zip(results.samplers, ranks.tolist(), strict=True))
    return Ranks(named, float(statistic), float(p), float(q * math.sqrt(k * (k + 1) / (6 * n))))


def best_on(results: Results, table: str) -> str:
    """Return the sampler with the highest mean hypervolume."""
    return max(results.samplers, key=lambda one: results.last(table, one, "volume").mean)


def overview(results: Results) -> list[dict[str, object]]:
    """Return a line for each sampler."""
    ranks, regret = mean_ranks(results), mean_ranks(results, "regret")
    best = {table: best_on(results, table) for table in results.tables}
    lines = []
    for one in results.everywhere:
        enough = needed(results, one)
        seeds = sorted({len(results.runs[table, one]) for table in results.tables})
        over = [verdict(results.paired(table, one, BASE)) for table in results.tables]
        near = sum(verdict(results.paired(table, one, best[table])) in (0, 1) for table in results.tables)
        known = len(over) - over.count(None)
        interval = f" [{enough.low:.0f}, {enough.high:.0f}]" if one in ranks.mean else ""
        more = f" (more: not there on {enough.never})" if enough.never else ""
        lines.append(
            {
                "sampler": one,
                "seeds": "-".join(map(str, dict.fromkeys((seeds[0], seeds[-1])))),
                "rank": f"{ranks.mean[one]:.2f}" if one in ranks.mean else "-",
                "rank by regret": f"{regret.mean[one]:.2f}" if one in ranks.mean else "-",
                "evaluations for random's 100": f"{enough.mean:.0f}{interval}{more}",
                "best or not told from it": f"{near} of {known}" if known else "-",
                "above / below random": f"{over.count(1)} / {over.count(-1)}" if known else "-",
                "inside": f"{np.mean([run.inside for t in results.tables for run in results.runs[t, one]]):.0%}",
                "seconds": f"{np.mean([run.seconds for t in results.tables for run in results.runs[t, one]]):.1f}",
            }
        )
    return sorted(lines, key=lambda line: ranks.mean.get(str(line["sampler"]), math.inf))


def by_table(results: Results, what: str) -> list[dict[str, object]]:
    """Return a line for each sampler with the final mean and half of its interval on each table."""
    return [
        {"sampler": one}
        | {
            table: spread_text(results.last(table, one, what)) if (table, one) in results.runs else "-"
            for table in results.tables
        }
        for one in (*results.samplers, *results.partial)
    ]


def against(results: Results, reference: str) -> list[dict[str, object]]:
    """Return a line for each other sampler: its final hypervolume less that of the reference, paired by seed."""
    lines = []
    for one in (*results.samplers, *results.partial):
        if one != reference:
            found = {table: results.paired(table, one, reference) for table in results.tables}
            mark = {1: " **+**", -1: " **-**", 0: "", None: ""}
            lines.append(
                {"sampler": one} | {table: spread_text(value) + mark[verdict(value)] for table, value in found.items()}
            )
    return lines


def table(results: Results) -> pd.DataFrame:
    """Return a line for each table and sampler, with all numbers."""
    lines = []
    for (name, one), runs in sorted(results.runs.items()):
        line: dict[str, object] = {"table": name, "sampler": one, "seeds": len(runs)}
        for what in ("volume", "regret"):
            spread = results.last(name, one, what)
            low, high = spread.interval or (None, None)
            line |= {what: spread.mean, f"{what}_low": low, f"{what}_high": high}
        difference = results.paired(name, one, REFERENCE)
        line["minus_reference"] = difference.mean if difference else None
        line |= {"inside": np.mean([r.inside for r in runs]), "seconds": np.mean([r.seconds for r in runs])}
        lines.append(line)
    return pd.DataFrame(lines).round(4)
