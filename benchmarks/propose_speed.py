"""Processor seconds of one proposal after 1,000 trials (GP after 300); writes results/benchmarks/propose_speed.md.

    OMP_NUM_THREADS=1 python benchmarks/propose_speed.py            # about 3 minutes on one core
    python benchmarks/propose_speed.py --trials 100 --rounds 2 --out /tmp/speed.md

One thread. The spaces are those of check_samplers.py, with bands wide enough for the trials, which are random candidates
of the band with its formula as AP. Each time is of a whole `propose`: the study is rebuilt from the trials, the
sampler asks, the answer is snapped into the band.
"""

from __future__ import annotations

import argparse
import platform
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import optuna
import torch
from check_samplers import OBJECTIVES, SEED, Case, ap, cases, trial_of

from scalesearch.plan.sections import SAMPLERS, SamplerPlan
from scalesearch.records.trials import Trial
from scalesearch.space.band import Band, EmptyBandError
from scalesearch.space.find_band import find_band
from scalesearch.study import gaussian_process, multi_fidelity
from scalesearch.study.propose import Proposal, propose

BANDS = ({"min": "60M", "max": "100M"}, {"min": "300M", "max": "304M"}, {"min": "22M", "max": "25M"})
ROWS, GP_ROWS, ROUNDS = 1_000, 300, 5
LIMIT = 1.0
"""Seconds."""


def drawn(band: Band, count: int) -> list[Trial]:
    """Random candidates of the band, as if trained."""
    rng, seen, trials = np.random.default_rng(SEED), set[tuple[str, ...]](), list[Trial]()
    for ordinal in range(count):
        candidate = band.draw(seen, rng)
        seen.add(candidate.key)
        trials.append(trial_of(ordinal, Proposal(candidate, "random"), ap(candidate.members[0])))
    return trials


def on_ladder(trials: list[Trial]) -> list[Trial]:
    """The trials as a ladder leaves them: of twenty, four came to the end, and five more to the second rung."""
    found = []
    for trial in trials:
        row, place = trial.rows[0], trial.ordinal % 20
        ap = row.final["ap"] or 0.0
        whole = row.epochs_planned * 10  # the rows are of one epoch
        curve = [(whole // 10, {"ap": 0.4 * ap}), (3 * whole // 10, {"ap": 0.75 * ap}), (whole, {"ap": ap})]
        done = curve[: 3 if place < 4 else 2 if place < 9 else 1]
        row = replace(
            row,
            curve=tuple(done),
            final=done[-1][1],
            epochs_done=done[-1][0],
            epochs_planned=whole,
            state="complete" if len(done) == len(curve) else "stopped",
        )
        found.append(replace(trial, rows=(row,)))
    return found


def measured(band: Band, name: str, trials: list[Trial], rounds: int) -> list[float]:
    """Seconds of `rounds` proposals with different seeds, the first of them, which imports, not counted."""
    seconds = []
    for seed in range(rounds + 1):
        # A study knows most hyperparameters from its last proposals; here they are fitted each time.
        gaussian_process._hyperparameters.cache_clear()
        multi_fidelity._hyperparameters.cache_clear()
        start = time.process_time()
        propose(band, SamplerPlan(name=name), OBJECTIVES, seed, len(trials), trials)
        seconds.append(time.process_time() - start)
    return seconds[1:]


def table(case: Case, rows: int, gp_rows: int, rounds: int) -> list[str]:
    """The lines of one space."""
    band = find_band(case.unit)
    trials = drawn(band, rows)
    lines = [
        f"| {case.name}: {len(band.unit.axes)} axes | trials | median s | longest s |",
        "| --- | --- | --- | --- |",
    ]
    for name in SAMPLERS:
        observed = trials[:gp_rows] if name == "gp" else trials
        try:
            seconds = measured(band, name, observed, rounds)
        except EmptyBandError:
            continue  # The grid of a space that is not enumerated.
        over = "" if median(seconds) <= LIMIT else f" (more than {LIMIT:g})"
        lines.append(f"| {name} | {len(observed):,} | {median(seconds):.3f}{over} | {max(seconds):.3f} |")
    seconds = measured(band, "ehvi", on_ladder(trials), rounds)
    over = "" if median(seconds) <= LIMIT else f" (more than {LIMIT:g})"
    lines.append(f"| ehvi, ladder | {len(trials):,} | {median(seconds):.3f}{over} | {max(seconds):.3f} |")
    return [*lines, ""]


def main() -> None:
    """Writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=ROWS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/propose_speed.md"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    lines = [
        "`OMP_NUM_THREADS=1 python benchmarks/propose_speed.py`: processor time of one proposal\n",
        f"{platform.machine()}, one thread, optuna {optuna.__version__}, torch {torch.__version__}, {args.rounds} rounds",
        "",
    ]
    for case, band in zip(cases(), BANDS, strict=True):
        lines += table(case._replace(band={"macs": band}), args.trials, min(GP_ROWS, args.trials), args.rounds)
        print("\n".join(lines), flush=True)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text("\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    main()
