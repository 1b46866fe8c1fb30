"""A study killed with -9 in each of its stages is the study that was never killed; writes results/checks/kills.txt.

    python benchmarks/check_kills.py [--samplers ehvi tpe nsga2 gp qmc random] [--trials 12] [--kills 25] [--out results/checks/kills.txt]

For each sampler a small real study (images of rectangles painted here, a two-rung ladder, winners over two seeds, one
worker) runs once without a disturbance, and which rows it wrote in which order is taken down. Then the same command is
killed and started again, 25 times in the life of one study: while it trains candidates to the first rung, while it
trains those that go on, while it trains some again, while it trains winners, and while it writes the report, some
trainings and stages several times over. When it has come to its end, its rows must equal the undisturbed ones in every
column but times (no row lost, none twice), and its report in every paragraph but the one that says how long it took.
About 2 minutes a sampler on one core: each start is a fork of a process that has imported what the command needs.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
import platform
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

import scalesearch.app.finish_study
import scalesearch.app.search_study  # noqa: F401  before the forks, once for all of them
from scalesearch.cli import main as command
from scalesearch.records.folder import read_rows
from scalesearch.records.row import Row

SAMPLERS = ("ehvi", "tpe", "nsga2", "gp", "qmc", "random")
STAGES = ("search", "ladder", "repeats", "winners", "report")
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
repeats: 0.25
recipe: {epochs: 4, batch: 4, norm_batches: 2}
ladder: {rungs: [0.5], keep: 0.34}
winners: {top: 1, seeds: [0, 1]}
"""
FIRST_RUNG = 2
"""Epochs."""


class Moment(NamedTuple):
    """When to kill: so long after the study has written so many rows."""

    rows: int
    seconds: float


class Course(NamedTuple):
    """How an undisturbed study went."""

    stages: list[str]
    """What it was at before each row that it wrote, and after the last."""
    lasted: list[float]
    """Seconds."""


def main() -> None:
    """Check each sampler, print and write what was seen; AssertionError where rows differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samplers", nargs="+", default=SAMPLERS, metavar="NAME")
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/checks/kills.txt"))
    args = parser.parse_args()
    command_line = (
        f"--samplers {' '.join(args.samplers)} --trials {args.trials} --kills {args.kills} --seed {args.seed}"
    )
    lines = [f"python benchmarks/check_kills.py {command_line}; python {platform.python_version()}"]
    for sampler in args.samplers:
        with tempfile.TemporaryDirectory() as folder:
            lines.append(check(Path(folder), sampler, args.trials, args.kills, args.seed))
        print(lines[-1], flush=True)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text("\n".join(lines) + "\n")


def check(folder: Path, sampler: str, trials: int, kills: int, seed: int) -> str:
    """Kill a study of this sampler under `folder`, and return a line about it. AssertionError where rows differ."""
    paint(folder / "images")
    (folder / "plan.yaml").write_text(PLAN + f"trials: {trials}\nsampler: {{name: {sampler}, startup: 3}}\n")
    course = undisturbed(folder)
    hit = Counter[str]()
    for moment in moments(course, kills, random.Random(f"{seed} {sampler}")):
        while not killed(folder, moment):
            # It ended before the kill: the report, which takes no time, is written again.
            moment = moment._replace(seconds=0.7 * moment.seconds)
        hit[course.stages[len(written(folder / "killed"))]] += 1
    assert ended(start(folder, "killed")) == 0, (folder / "errors").read_text()
    assert plain(folder / "killed") == plain(folder / "whole"), f"{sampler}: rows differ from the undisturbed ones"
    assert report(folder / "killed") == report(folder / "whole"), f"{sampler}: the report differs"
    assert not (folder / "killed" / "tasks").exists(), f"{sampler}: a searched training's checkpoint is left"
    where = ", ".join(f"{hit[stage]} in {stage}" for stage in STAGES)
    return (
        f"{sampler}: one study of {len(plain(folder / 'whole'))} rows killed {hit.total()} times ({where}); all rows and the "
        "report equal the undisturbed ones'"
    )


def moments(course: Course, kills: int, rng: random.Random) -> list[Moment]:
    """As many in each stage, each at a random time of a random training of it, in the order of the study."""
    found = []
    for i in range(kills):
        stage = STAGES[i % len(STAGES)]
        rows = rng.choice([row for row, at in enumerate(course.stages) if at == stage])
        found.append(Moment(rows, rng.uniform(0.0, course.lasted[rows])))
    return sorted(found, key=lambda moment: moment.rows)


def undisturbed(folder: Path) -> Course:
    """Runs the study `whole` and looks on."""
    child, since = start(folder, "whole"), time.monotonic()
    seen, stages, lasted = set[tuple[str, int]](), list[str](), list[float]()
    while True:
        done = not running(child)
        now = time.monotonic()
        new = written(folder / "whole") - seen
        if len(new) > 1:  # seen at once: the first took the time
            lasted += [0.0] * (len(new) - 1)
        if new:
            stages += [stage_of(name, epochs) for name, epochs in sorted(new, key=lambda row: row[1])]
            lasted.append(now - since)
            seen, since = seen | new, now
        if done:
            assert os.waitstatus_to_exitcode(child.status) == 0, (folder / "errors").read_text()
            return Course([*stages, "report"], [*lasted, now - since])
        time.sleep(0.005)


def stage_of(name: str, epochs: int) -> str:
    """The stage that writes such a row."""
    if not name.startswith("search"):
        return "repeats" if name.startswith("repeat") else "winners"
    return "search" if epochs <= FIRST_RUNG else "ladder"


@dataclasses.dataclass
class Child:
    """A process that runs the command."""

    pid: int
    status: int | None = None


def start(folder: Path, name: str) -> Child:
    """The command that a user would type, in a process of its own."""
    pid = os.fork()
    if pid:
        return Child(pid)
    try:
        os.chdir(folder)
        errors = os.open("errors", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(errors, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.environ["SCALESEARCH_CACHE"] = str(folder / "cache")
        sys.argv = ["scalesearch", "search", "plan.yaml", "--out", name]
        command()
        os._exit(0)
    except SystemExit as end:
        os._exit(end.code if isinstance(end.code, int) else 1)
    except BaseException as error:  # noqa: BLE001  a fork must not go on as its parent
        os.write(2, repr(error).encode())
        os._exit(1)


def running(child: Child) -> bool:
    """Whether it has not ended yet."""
    if child.status is None:
        pid, status = os.waitpid(child.pid, os.WNOHANG)
        child.status = status if pid else None
    return child.status is None


def ended(child: Child) -> int:
    """Its exit status, when it has ended by itself."""
    while running(child):
        time.sleep(0.005)
    assert child.status is not None
    return os.waitstatus_to_exitcode(child.status)


def killed(folder: Path, moment: Moment) -> bool:
    """Goes on with the study until that moment, and kills it there; False where it ends before."""
    child, due = start(folder, "killed"), None
    while running(child):
        if due is None and len(written(folder / "killed")) >= moment.rows:
            due = time.monotonic() + moment.seconds
        if due is not None and time.monotonic() >= due:
            os.kill(child.pid, signal.SIGKILL)
            return ended(child) == -signal.SIGKILL
        time.sleep(0.002)
    assert ended(child) == 0, (folder / "errors").read_text()
    return False


def written(study: Path) -> set[tuple[str, int]]:
    """The rows that it has written so far, by file and epochs: one that went on from a rung was written twice."""
    found = set()
    for file in (study / "rows").glob("*.json"):
        epochs = epochs_done(file, file.stat().st_mtime_ns)
        found |= {(file.name, epochs)} | ({(file.name, FIRST_RUNG)} if file.name.startswith("search") else set())
    return found


@cache
def epochs_done(file: Path, changed: int) -> int:
    """The epochs of a row; read once for each time that it was written, since the loops above look all the time."""
    return int(json.loads(file.read_text())["epochs_done"])


def plain(study: Path) -> list[Row]:
    """Its rows without times and what depends on them."""
    return [dataclasses.replace(row, seconds=0.0, peak_memory=0, images_per_second=0.0) for row in read_rows(study)]


def report(study: Path) -> str:
    """Its report without the last paragraph, which has the hours that it took."""
    return (study / "report.md").read_text().rpartition("\n\n")[0]


def paint(folder: Path) -> None:
    """The tests' own set of rectangles: 20 images to train on, 8 to score on."""
    file = Path(__file__).parents[1] / "tests" / "conftest.py"
    spec = importlib.util.spec_from_file_location("paint", file)
    assert spec and spec.loader
    # Known before it runs: dataclasses look their module up.
    module = sys.modules["paint"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.write_coco(folder, "train", count=20, seed=0)
    module.write_coco(folder, "val", count=8, seed=1)


if __name__ == "__main__":
    main()
