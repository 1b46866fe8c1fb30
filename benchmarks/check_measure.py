"""Does `scalesearch measure` say the same again? Each detector in processes of its own, the others in between.

    python benchmarks/check_measure.py [--runs 6] [--out results/checks/measure_again.txt]

Compares the medians of the ratios to the reference operation, each with each: what a process finds may depend on where
its memory happens to lie, which two runs can miss. About ten minutes on one core. Exit status 1 where two differ by
more than 5 % and neither run warned.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.progress import track

LIMIT = 0.05

CASES = (
    ("lite0", "224x224", "eager"),
    ("d0", "256x256", "eager"),
    ("d0", "512x512", "eager"),
    ("lite0", "224x224", "onnxruntime"),
    ("d0", "256x256", "onnxruntime"),
)


def measured(design: str, size: str, backend: str) -> dict[str, Any]:
    """One run of the command."""
    command = [sys.executable, "-c", "from scalesearch.cli import main; main()", "measure", design, "--json"]
    options = ["--size", size, "--backend", backend, "--threads", "1"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> int:
    """Measures everything in turn, `--runs` times, and compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/checks/measure_again.txt"))
    parser.add_argument("--runs", type=int, default=6)
    args = parser.parse_args()
    started = time.perf_counter()
    rounds = [[measured(*case) for case in CASES] for _ in track(range(args.runs), "measuring")]
    lines = ["detector  size     backend      ratios of the runs, in their order, ! where one warned"]
    lines[0] += " " * (9 * args.runs - 53) + " apart  calm"
    bad = 0
    for case, found in zip(CASES, zip(*rounds, strict=True), strict=True):
        apart, calm = _apart(found), _apart([one for one in found if not one["warnings"]])
        bad += calm > LIMIT
        ratios = "".join(f"{one['ratio']:8.3f}{'!' if one['warnings'] else ' '}" for one in found)
        lines.append(f"{case[0]:9} {case[1]:8} {case[2]:12}{ratios} {apart:6.1%} {calm:5.1%}")
    every = [one for found in rounds for one in found]
    setting = every[0]["setting"]
    text = "\n".join(
        [
            "`scalesearch measure`, again and again: medians of the ratios to the reference operation",
            f"{setting['device']}, {setting['threads']} thread, {every[0]['rounds']} rounds, {every[0]['clock']} time, "
            + ", ".join(f"{package} {version}" for package, version in setting["versions"].items()),
            f"reference: {every[0]['reference_operation']}",
            "",
            *lines,
            "",
            "apart: the largest ratio over the smallest, less 1; calm: the same among runs that did not warn",
            f"pages of memory taken anew in a run, at most: {max(one['faults'] for one in every)}",
            *sorted({f"warned: {warning}" for one in every for warning in one["warnings"]}),
            f"python benchmarks/check_measure.py --runs {args.runs}  ({time.perf_counter() - started:.0f} s)",
        ]
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(text + "\n")
    print(text)
    return 1 if bad else 0


def _apart(found: Sequence[dict[str, Any]]) -> float:
    ratios = [one["ratio"] for one in found]
    return max(ratios, default=1.0) / min(ratios, default=1.0) - 1


if __name__ == "__main__":
    sys.exit(main())
