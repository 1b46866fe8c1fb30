"""Does training the deciding candidates again pay? Writes results/rehearsal/repeats.md.

    OMP_NUM_THREADS=1 python benchmarks/repeats.py                    # about 15 minutes on one core
    python benchmarks/repeats.py --seeds 3 --samplers random --out /tmp/repeats.md

Searches of search_spaces/landscape.yaml, all with as many trainings to the end: with every training of another candidate,
and with a share of them spent on repeats. Compared is the true hypervolume (AP from the median of the band, as
docs/rehearsal.md has it) of the front that each search returns, seed by seed.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import optuna

from scalesearch.app.rehearse import Scenario, on_landscape
from scalesearch.evidence.noise import Spread
from scalesearch.io.progress import bar
from scalesearch.rehearsal.simulation import Yardstick, rehearse

PLAN = Path("search_spaces/landscape.yaml")
OUT = Path("results/rehearsal/repeats.md")
LANDSCAPES, SAMPLERS, SHARES = ("noisy",), ("random", "ehvi"), (0.1, 0.2, 0.3)
SEEDS, TRIALS = 40, 100


def volumes(stage: Scenario, sampler: str, share: float, seeds: Sequence[int]) -> list[float]:
    """Return the hypervolume of each seed's front."""
    yardstick = Yardstick(stage.band, stage.surrogate, stage.plan.objectives)
    found, update = [], bar(f"{sampler}, repeats {share}")
    for seed in seeds:
        update(len(found), len(seeds), f"seed {seed}")
        plan = dataclasses.replace(
            stage.plan,
            ladder=None,
            repeats=share,
            seed=seed,
            sampler=dataclasses.replace(stage.plan.sampler, name=sampler),
        )
        found.append(rehearse(plan, stage.band, stage.surrogate, yardstick, "").last.above)
    return found


def text(spread: Spread) -> str:
    """Return the mean and half of its 95 % interval."""
    low, high = spread.interval or (spread.mean, spread.mean)
    return f"{spread.mean:.3f} ± {(high - low) / 2:.3f}"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the searches and write the table, after each line anew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--samplers", nargs="+", default=SAMPLERS)
    parser.add_argument("--landscapes", nargs="+", default=LANDSCAPES)
    parser.add_argument("--shares", nargs="+", type=float, default=SHARES)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args(argv)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    lines = [
        f"`python benchmarks/repeats.py`: {args.trials} trainings a search, seeds 0 to {args.seeds - 1}, mean ± half of the 95 % interval",
        "",
        "| landscape | sampler | repeats | hypervolume | more than single runs |",
        "| --- | --- | --- | --- | --- |",
    ]
    for landscape in args.landscapes:
        stage = on_landscape(PLAN, [f"trials={args.trials}"], landscape)
        for sampler in args.samplers:
            single = volumes(stage, sampler, 0.0, range(args.seeds))
            lines.append(f"| {landscape} | {sampler} | 0 | {text(Spread(tuple(single)))} | - |")
            for share in args.shares:
                found = volumes(stage, sampler, share, range(args.seeds))
                more = Spread(tuple(a - b for a, b in zip(found, single, strict=True)))
                lines.append(f"| {landscape} | {sampler} | {share:g} | {text(Spread(tuple(found)))} | {text(more)} |")
                args.out.parent.mkdir(parents=True, exist_ok=True)
                args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
