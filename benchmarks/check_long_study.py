"""2,000 trials in four local workers: the driver's memory beyond its rows, and the time to open the folder again.

    OMP_NUM_THREADS=1 python benchmarks/check_long_study.py          # writes results/checks/long_study.txt
    python benchmarks/check_long_study.py --trials 60 --out /tmp/long_study.txt
    python benchmarks/check_long_study.py --open FOLDER              # only opens a study that is there

The real driver with rows, results and Optuna's journal in a folder, on the landscape of search_spaces/landscape.yaml in a wider
band; each training answers at once, with a curve, losses and scores by class of the size that a real one has. Memory is
the driver's resident set, from after its first trials to the end. What the rows take is measured in a process of its own that
reads them. Opening is on the clock, so the machine must be quiet. Exit status 1 where a limit is exceeded.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import optuna
import psutil
from many_workers import BAND, PLAN

from scalesearch.app.rehearse import Scenario, on_landscape
from scalesearch.execute.processes import LocalProcesses
from scalesearch.mirror.ledger import OptunaLedger
from scalesearch.plan.plan import read_plan
from scalesearch.plan.task import Outcome, Task
from scalesearch.profile.latency_setting import processor
from scalesearch.records.folder import StudyFolder, read_rows
from scalesearch.rehearsal.simulation import REHEARSED
from scalesearch.study.driver import search
from scalesearch.study.study import Study
from scalesearch.training.coco_metrics import NUMBERS

WORKERS, FIRST = 4, 50
"""Trainings at a time; trials after which the memory is read first, once everything is imported and the band is priced."""
MEMORY, OPENING = 50.0, 2.0
"""Limits: MB beyond the rows, and seconds."""


@cache
def stage() -> Scenario:
    """The problem, opened once a process."""
    return on_landscape(PLAN, [BAND], "plain")


def prepare() -> None:
    """Open the landscape."""
    stage()


def train(task: Task) -> Outcome:
    """What a training of the landscape leaves, at once."""
    epochs = range(1, task.to_epoch + 1)
    found = [(epoch, stage().surrogate.ap(task.spec, task.seed, epoch)) for epoch in epochs if epoch % 4 == 0]
    curve = tuple((epoch, dict.fromkeys(NUMBERS, ap)) for epoch, ap in found)
    return Outcome(
        state="complete",
        curve=curve,
        steps=100 * task.to_epoch,
        losses=tuple((epoch, 1.0 / epoch, 0.7 / epoch, 0.006 / epoch) for epoch in epochs),
        per_class={f"class {i}": found[-1][1] for i in range(80)},
        seconds=1.0,
        peak_memory=10**9,
        images_per_second=100.0,
    )


def resident() -> float:
    """MB of this process."""
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 1e6


def of_rows(folder: Path) -> float:
    """MB that the rows of a study take in a process that has read them."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from check_long_study import resident, read_rows; "
        "from pathlib import Path; from scalesearch.records.row_set import RowSet; "
        "before = resident(); rows = RowSet(read_rows(Path(sys.argv[2]))); rows.trials(1); print(resident() - before)"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(folder)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def opening(folder: Path) -> tuple[float, float]:
    """Processor and wall seconds that opening a study takes."""
    plan, rows = read_plan(folder / "plan.yaml"), read_rows(folder)
    began, clock = time.process_time(), time.perf_counter()
    opened = StudyFolder.open(folder, plan, data=rows[0].data)
    took = time.process_time() - began, time.perf_counter() - clock
    opened.close()
    return took


def main() -> int:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2_000)
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--open", type=Path)
    parser.add_argument("--out", type=Path, default=Path("results/checks/long_study.txt"))
    args = parser.parse_args()
    if args.open:
        own, wall = opening(args.open)
        print(
            f"opening {len(read_rows(args.open)):,} rows: {wall:.2f} s (limit {OPENING:g}), {own:.2f} s of processor time"
        )
        return int(wall > OPENING)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    problem = stage()
    sampler = dataclasses.replace(problem.plan.sampler, name=args.sampler, startup=10)
    plan = dataclasses.replace(problem.plan, sampler=sampler, ladder=None, trials=FIRST, workers=WORKERS)
    executor = LocalProcesses(WORKERS, train, prepare, ())
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "study"
        try:
            with StudyFolder.open(path, plan, data=REHEARSED.data) as folder:
                ledger = OptunaLedger(path, plan.name, plan.objectives, problem.band.unit.axes)
                study = Study(
                    plan=plan,
                    unit=problem.band.unit,
                    band=problem.band,
                    folder=folder,
                    provenance=REHEARSED,
                    ledger=ledger,
                )
                search(study, executor)
                before, began, clock = resident(), time.process_time(), time.perf_counter()
                search(dataclasses.replace(study, plan=dataclasses.replace(plan, trials=args.trials)), executor)
                own, took = time.process_time() - began, time.perf_counter() - clock
                grown = resident() - before
        finally:
            executor.close()
        opened, wall = opening(path)
        count, rows = len(read_rows(path)), of_rows(path) * (1 - FIRST / args.trials)
        size = sum(file.stat().st_size for file in (path / "rows").iterdir()) / 1e6
    assert count == args.trials
    done = args.trials - FIRST
    beyond = grown - rows
    fine = beyond <= MEMORY and wall <= OPENING
    lines = [
        f"OMP_NUM_THREADS=1 python benchmarks/check_long_study.py --trials {args.trials} --sampler {args.sampler}",
        f"{processor()}; {WORKERS} local workers; rows of {size:.1f} MB on disk",
        f"memory of the driver, from trial {FIRST} on: {grown:.1f} MB more, of which the rows are {rows:.1f} MB",
        f"beyond the rows: {beyond:.1f} MB (limit {MEMORY:g})",
        f"opening the folder again: {wall:.2f} s (limit {OPENING:g}), {opened:.2f} s of processor time",
        f"processor time of the driver: {1e3 * own / done:.1f} ms a trial; wall time: {1e3 * took / done:.1f} ms a trial",
        "within the limits" if fine else "NOT within the limits",
    ]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
