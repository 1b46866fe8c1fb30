"""Forty short trials with one worker and with two: wall time, and whether the front is worse; writes a table.

    python benchmarks/check_workers.py [--trials 40] [--out results/benchmarks/workers.md]

One after the other, on the digits, by the command line, random draws from one band. One worker has all cores of the
machine for its one training, two have half of them each. Takes about twelve minutes on two cores.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from scalesearch.evidence.noise import Spread
from scalesearch.profile.environment import machine, versions
from scalesearch.records.folder import read_rows
from scalesearch.records.hypervolume import hypervolume
from scalesearch.records.trials import Trial, trials

COMMAND = [sys.executable, "-c", "from scalesearch.cli import main; main()"]
PLAN = """
data: {source: digits}
space:
  backbone: test_byobnet
  topology: [fpn, panet, bifpn]
  width: {low: 16, high: 48, step: 8}
  repeats: [1, 2]
  head_depth: 1
  size: {low: 48, high: 96, step: 16}
  min_level: [2, 3]
  max_level: 5
detector: {padding: symmetric, activation: relu, bias_before_norm: false, laterals: level, separable: false}
band: {macs: {min: 5M, max: 30M}}
sampler: {name: random}
recipe: {epochs: 1, flip: false}
winners: {top: 0}
"""
REFERENCE = np.array([0.0, np.log(30e6)])


def main() -> None:
    """Run, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/workers.md"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = {workers: run(Path(folder), workers, args.trials) for workers in (1, 2)}
    one = found[1][0]
    lines = [
        "# One worker and two",
        "",
        f"`python benchmarks/check_workers.py --trials {args.trials}`: {args.trials} trials of one epoch on the digits, the",
        "same plan and seed. Proposals look one trial further back with two workers; these are random draws in any case.",
        "",
        f"Machine: {', '.join(machine().values())}. " + ", ".join(f"{k} {v}" for k, v in versions().items()) + ".",
        "",
        "| workers | threads each | wall time | of one worker's | best AP | hypervolume of the front | mean AP |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for workers, (seconds, study) in found.items():
        aps = [trial.value("ap") for trial in study]
        lines.append(
            f"| {workers} | {study[0].rows[0].threads} | {seconds:.0f} s | {seconds / one:.2f} | {max(aps):.3f} | "
            f"{volume(study):.4f} | {Spread(tuple(aps))} |"
        )
    text = "\n".join(lines) + "\n"
    print(text)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(text)


def run(folder: Path, workers: int, count: int) -> tuple[float, list[Trial]]:
    """Seconds of the whole command, and its trials."""
    (folder / "plan.yaml").write_text(PLAN + f"trials: {count}\nworkers: {workers}\n")
    start = time.perf_counter()
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    out = f"with{workers}"
    subprocess.run([*COMMAND, "search", "plan.yaml", "--out", out], cwd=folder, env=environment, check=True)
    return time.perf_counter() - start, trials(read_rows(folder / out))


def volume(study: list[Trial]) -> float:
    """Of AP above 0 and the logarithm of FLOPs below the band's end."""
    return hypervolume(np.array([[-t.value("ap"), np.log(t.value("macs"))] for t in study]), REFERENCE)


if __name__ == "__main__":
    main()
