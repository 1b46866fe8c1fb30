"""A study killed with -9 at random moments is the study that was never killed; writes results/checks/kills.txt.

    python benchmarks/check_kills.py [--samplers tpe nsga2 gp qmc random] [--kills 25] [--out results/checks/kills.txt]

For each sampler a small real study (images of rectangles painted here, a two-rung ladder, winners over two seeds, one
worker) runs once without a disturbance. Then the same command is started and killed at a random moment, again and again
(after a random number of further rows and a random time); where it ends before it has been killed often enough, another
one begins. Whenever one ends, its rows must equal the undisturbed ones in every column but times: no row lost, none
twice. About 4 minutes a sampler on one core.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scalesearch.records.folder import read_rows
from scalesearch.records.row import Row

SAMPLERS = ("tpe", "nsga2", "gp", "qmc", "random")
COMMAND = [sys.executable, "-c", "from scalesearch.cli import main; main()"]
PLAN = """
data: {source: images}
space:
  backbone: efficientnet-w0.25-d0.25
  topology: [fpn, bifpn]
  width: {low: 8, high: 24, step: 4}
  repeats: [1, 2]
  head_depth: 1
  size: [32, 48, 64]
  min_level: 3
  max_level: 5
anchors: {scale: 1.5}
band: {macs: {min: 0.1M, max: 4M}}
trials: 9
recipe: {epochs: 4, batch: 4, norm_batches: 2}
ladder: {rungs: [0.5], keep: 0.34}
winners: {top: 1, seeds: [0, 1]}
"""


def main() -> None:
    """Check each sampler, print and write what was seen; exit 1 where rows differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samplers", nargs="+", default=SAMPLERS, metavar="NAME")
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/checks/kills.txt"))
    args = parser.parse_args()
    lines = [
        f"python benchmarks/check_kills.py --kills {args.kills} --seed {args.seed}; python {platform.python_version()}"
    ]
    for sampler in args.samplers:
        with tempfile.TemporaryDirectory() as folder:
            lines.append(check(Path(folder), sampler, args.kills, args.seed))
        print(lines[-1], flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("\n".join(lines) + "\n")


def check(folder: Path, sampler: str, kills: int, seed: int) -> str:
    """Kill studies of this sampler under `folder`; a line that tells of it. AssertionError where rows differ."""
    paint(folder / "images")
    (folder / "plan.yaml").write_text(PLAN + f"sampler: {{name: {sampler}, startup: 3}}\n")
    whole = start_study(folder, "whole")
    start = time.monotonic()
    assert whole.wait(600) == 0, (folder / "errors").read_text()
    expected = plain(folder / "whole")
    a_row = (time.monotonic() - start) / len(expected)
    rng, killed, ended, in_start = random.Random(f"{seed} {sampler}"), 0, 0, 0
    while killed < kills or count(folder / f"study{ended}"):
        study = f"study{ended}"
        before = count(folder / study)
        run = start_study(folder, study)
        more = rng.choice((0, 0, 1, 1, 2, 3)) if killed < kills else len(expected) + 1
        if killed_after(run, folder / study, before + more, rng.uniform(0.0, 2 * a_row)):
            killed += 1
            in_start += count(folder / study) == before
            continue
        assert run.returncode == 0, (folder / "errors").read_text()
        assert plain(folder / study) == expected, f"{sampler}: {study} differs from the undisturbed one"
        ended += 1
    return (
        f"{sampler}: killed {killed} times ({in_start} of them before another row was there) over {ended} studies of "
        f"{len(expected)} rows; all rows of all studies equal the undisturbed ones'"
    )


def start_study(folder: Path, name: str) -> subprocess.Popen[bytes]:
    """The command a user would type, in a process group of its own."""
    with (folder / "errors").open("w") as errors:
        return subprocess.Popen(
            [*COMMAND, "search", "plan.yaml", "--out", name],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "SCALESEARCH_CACHE": str(folder / "cache")},
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )


def killed_after(run: subprocess.Popen[bytes], study: Path, rows: int, seconds: float) -> bool:
    """Kill the run these seconds after the study has so many rows; False where it ends by itself before."""
    while run.poll() is None and count(study) < rows:
        time.sleep(0.02)
    try:
        run.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        return True
    return False


def count(study: Path) -> int:
    """Its rows on disk."""
    return len(list((study / "rows").glob("*.json")))


def plain(study: Path) -> list[Row]:
    """Its rows without times and what depends on them."""
    return [dataclasses.replace(row, seconds=0.0, peak_memory=0, images_per_second=0.0) for row in read_rows(study)]


def paint(folder: Path) -> None:
    """The tests' own set of rectangles: 20 images to train on, 8 to score on."""
    file = Path(__file__).parents[1] / "tests" / "conftest.py"
    spec = importlib.util.spec_from_file_location("paint", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.write_coco(folder, "train", count=20, seed=0)
    module.write_coco(folder, "val", count=8, seed=1)


if __name__ == "__main__":
    main()
