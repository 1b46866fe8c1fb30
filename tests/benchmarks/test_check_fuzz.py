"""Twenty inputs of benchmarks/check_fuzz.py, whose whole run is committed in results/checks/fuzz.txt."""

from __future__ import annotations

import subprocess
import sys

from tests.benchmarks.scripts import FOLDER


def test_malformed_input_ends_in_one_line() -> None:
    # A process of its own: it forks one for each input, which a process with threads must not.
    # Input 2 is valid, and `init` times training steps for 8 s.
    numbers = ",".join(map(str, (0, 1, *range(3, 21))))
    command = [sys.executable, str(FOLDER / "check_fuzz.py"), "--jobs", "1", f"--only={numbers}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    row = next(line.split() for line in done.stdout.splitlines() if line.startswith("all "))
    assert row[1] == "20" and int(row[2]) >= 10 and row[4:] == ["0"] * 5
