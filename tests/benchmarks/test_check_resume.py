"""Three kills of benchmarks/check_resume.py, whose whole run is committed in results/checks/resume.txt."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "check_resume.py"


def test_a_killed_training_ends_with_the_same_bits(coco: Path, tmp_path: Path) -> None:
    """In a process of its own: it forks, which pytest's would not survive unharmed."""
    command = [sys.executable, str(SCRIPT), "--kills", "3", "--data", str(coco), "--out", str(tmp_path / "resume.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, env={**os.environ})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kills of " in done.stdout and done.stdout.endswith("All checks passed!\n")
