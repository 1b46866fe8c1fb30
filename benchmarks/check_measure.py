"""Does `scalesearch measure` say the same twice? Each detector in two processes of its own, the others in between.

    python benchmarks/check_measure.py [--out results/checks/measure_twice.txt]

Compares the medians of the ratios to the reference operation. About three minutes on one core. Exit status 1 where two
differ by more than 5 % and neither run said that the machine was not quiet.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

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
    """Measures everything once, then again, and compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/checks/measure_twice.txt"))
    parser.add_argument("--cases", type=int, default=len(CASES), help="the first so many")
    args = parser.parse_args()
    started = time.perf_counter()
    cases = CASES[: args.cases]
    first, second = ([measured(*case) for case in cases] for _ in range(2))
    lines = ["detector  size     backend      ratio 1 (95 %)            ratio 2 (95 %)            apart  quiet"]
    bad = 0
    for case, a, b in zip(cases, first, second, strict=True):
        apart = abs(a["ratio"] - b["ratio"]) / min(a["ratio"], b["ratio"])
        quiet = not (a["warnings"] or b["warnings"])
        bad += apart > 0.05 and quiet
        ratios = ("{:7.3f} ({:7.3f} .. {:7.3f})".format(one["ratio"], *one["ratio_interval"]) for one in (a, b))
        lines.append(
            f"{case[0]:9} {case[1]:8} {case[2]:12} {'  '.join(ratios)} {apart:6.1%}  {'yes' if quiet else 'no'}"
        )
    warned = sum(bool(one["warnings"]) for one in (*first, *second))
    setting = first[0]["setting"]
    text = "\n".join(
        [
            "`scalesearch measure`, twice: medians of the ratios to the reference operation",
            f"{setting['device']}, {setting['threads']} thread, {first[0]['rounds']} rounds, {first[0]['clock']} time, "
            + ", ".join(f"{package} {version}" for package, version in setting["versions"].items()),
            f"reference: {first[0]['reference_operation']}",
            "",
            *lines,
            "",
            f"runs that warned of a machine that is not quiet: {warned} of {2 * len(cases)}",
            f"python benchmarks/check_measure.py  ({time.perf_counter() - started:.0f} s)",
        ]
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(text + "\n")
    print(text)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
