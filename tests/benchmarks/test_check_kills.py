"""A sample of benchmarks/check_kills.py, whose whole run is committed in results/checks/kills.txt."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path


def test_a_study_that_is_killed_in_its_stages_is_the_same_study(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "benchmarks" / "check_kills.py"
    # A process of its own: it forks, which one that runs tests had better not.
    subprocess.run(
        [
            sys.executable,
            script,
            "--samplers",
            "random",
            "--trials",
            "8",
            "--kills",
            "3",
            "--out",
            tmp_path / "kills.txt",
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
    )
    line = (tmp_path / "kills.txt").read_text().splitlines()[1]
    assert re.match(r"random: one study of 10 rows killed 3 times .* equal the undisturbed ones'$", line)
