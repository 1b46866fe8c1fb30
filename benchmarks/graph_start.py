"""Is a start with published networks and their mutants better than a random one? Writes results/benchmarks/graph_start.md.

    python benchmarks/graph_start.py            # 16 trainings: 8 minutes of processor time
    python benchmarks/graph_start.py --trials 2 --set recipe.epochs=1 --out /tmp/graph_start.md

The space and recipe of search_spaces/free_graphs.yaml, another seed than its committed study. Each candidate is of the
start of its sampler: random's in the band, ehvi's as `study/graph_start.py` draws it.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import scalesearch as ss
from scalesearch.evidence.noise import Spread
from scalesearch.evidence.ranks import kendall
from scalesearch.records.trials import Trial
from scalesearch.space.features import graph_shape

PLAN = Path("search_spaces/free_graphs.yaml")
OUT = Path("results/benchmarks/graph_start.md")
LEVELS = 2
"""Finest levels whose paths are summed."""


def short_paths(trial: Trial) -> float:
    """Return the sum, over the finest levels, of 1 / (1 + edges) of the shortest path to the level's own output."""
    topology = trial.rows[0].spec.topology
    paths, count = graph_shape(topology).paths, 7
    own = [paths[(level - 2) * (count + 1)] for level in topology.levels]
    return sum(own[:LEVELS])


def started(sampler: str, trials: int, seed: int, changes: Sequence[str], folder: Path) -> list[Trial]:
    """Train the start of a sampler and return its complete trials."""
    options: dict[str, object] = {
        "sampler": {"name": sampler, "startup": trials},
        "trials": trials,
        "seed": seed,
        "winners.top": 0,
        "baselines": {},
        "workers": 1,
    }
    plan = ss.load_plan(PLAN, {**options, **dict(text.split("=", 1) for text in changes)})
    study = ss.search(plan, out=folder / sampler)
    return [trial for trial in study.trials if trial.complete]


def main(argv: Sequence[str] | None = None) -> None:
    """Train both starts and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--set", dest="changes", nargs="*", default=[])
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args(argv)
    lines = [
        f"`python benchmarks/graph_start.py --trials {args.trials}`: AP after the short trainings of {PLAN}, one seed each",
        "",
        "| start | graphs | mean AP | standard deviation | best AP |",
        "| --- | --- | --- | --- | --- |",
    ]
    every: list[Trial] = []
    with tempfile.TemporaryDirectory() as place:
        for sampler, name in (("random", "random in the band"), ("ehvi", "published networks and their mutants")):
            trials = started(sampler, args.trials, args.seed, args.changes, Path(place))
            every += trials
            spread = Spread(tuple(trial.value("ap") for trial in trials))
            lines.append(
                f"| {name} | {len(trials)} | {spread.mean:.3f} | {spread.sd or 0:.3f} | {max(spread.values):.3f} |"
            )
    found = kendall([short_paths(trial) for trial in every], [trial.value("ap") for trial in every])
    tau = "none" if found.tau is None else f"{found.tau:.2f}"
    path = f"short paths from the finest {LEVELS} levels to their own outputs"
    lines += ["", f"Kendall's tau-b of AP with {path}, over all {len(every)}: {tau}."]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
