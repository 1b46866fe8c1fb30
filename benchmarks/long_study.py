"""Does a candidate of a long study take longer than one of a short one? Writes results/benchmarks/long_study.md.

    OMP_NUM_THREADS=1 python benchmarks/long_study.py                    # about 10 minutes on one core
    python benchmarks/long_study.py --trials 200 --block 50 --samplers tpe --out /tmp/long.md

Searches of 2,000 candidates on the landscape of search_spaces/landscape.yaml, whose trainings are answered at once: what
is left is what the search itself takes. With each sampler, with and without the ladder, rows in memory; and one with
rows, results and Optuna's journal in a folder, as a real study has them. A line has the processor time of each block of
candidates, in milliseconds a candidate, and a digest of the trials that came out, in order: two versions of the code that
propose the same have the same digests.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import tempfile
import time
from pathlib import Path

import numpy as np
import optuna

from scalesearch.app.rehearse import Scenario, on_landscape
from scalesearch.execute.executor import InProcess
from scalesearch.mirror.ledger import OptunaLedger
from scalesearch.plan.ladder import epochs_at
from scalesearch.plan.task import Outcome, Task
from scalesearch.profile.latency_setting import processor
from scalesearch.records.folder import StudyFolder
from scalesearch.rehearsal.simulation import REHEARSED, Answers, MemoryStore
from scalesearch.study.driver import search
from scalesearch.study.study import Store, Study

PLAN = Path(__file__).parents[1] / "search_spaces" / "landscape.yaml"
SAMPLERS = ("random", "qmc", "evolution", "tpe")
FITTED = 1_000
"""Candidates of tpe, which fits a model to all of them before each: its own time a candidate grows with their number."""


class Timed:
    """Answers trainings, and keeps the processor time at which each candidate was first asked for."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._known: set[str] = set()
        self.times = [time.process_time()]

    def __call__(self, task: Task, label: str) -> Outcome:
        """The outcome that the landscape has for the task."""
        if task.spec.id not in self._known:
            self._known.add(task.spec.id)
            self.times.append(time.process_time())
        return self._answers(task, label)


def searched(stage: Scenario, sampler: str, ladder: bool, trials: int, folder: Path | None) -> tuple[list[float], str]:
    """Processor seconds of each candidate in turn, and the digest of what came out."""
    plan = dataclasses.replace(
        stage.plan,
        sampler=dataclasses.replace(stage.plan.sampler, name=sampler),
        ladder=stage.plan.ladder if ladder else None,
        trials=trials,
        workers=1,
    )
    store: Store = MemoryStore() if folder is None else StudyFolder.open(folder, plan, data=REHEARSED.data)
    ledger = None if folder is None else OptunaLedger(folder, plan.name, plan.objectives, stage.band.unit.axes)
    study = Study(plan=plan, unit=stage.band.unit, band=stage.band, folder=store, provenance=REHEARSED, ledger=ledger)
    timed = Timed(Answers(stage.surrogate, epochs_at(plan.ladder, plan.recipe.epochs)))
    search(study, InProcess(timed))
    found = [(trial.ordinal, trial.key, trial.proposed_by, trial.epochs_done) for trial in study.trials()]
    if isinstance(store, StudyFolder):
        store.close()
    return np.diff(timed.times).tolist(), hashlib.sha256(repr(found).encode()).hexdigest()[:12]


def main() -> None:
    """Writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2_000)
    parser.add_argument("--block", type=int, default=250)
    parser.add_argument("--samplers", nargs="+", default=SAMPLERS, metavar="NAME")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/long_study.md"))
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    stage = on_landscape(PLAN, [], "plain")
    blocks = range(0, args.trials, args.block)
    lines = [
        "`OMP_NUM_THREADS=1 python benchmarks/long_study.py`: milliseconds of processor time a candidate\n",
        f"{processor()}, one thread, optuna {optuna.__version__}, numpy {np.__version__}; {stage.facts[1]}\n",
        "| sampler | ladder | rows in | "
        + " | ".join(f"to {start + args.block:,}" for start in blocks)
        + " | trials |",
        "| --- " * (len(blocks) + 4) + "|",
    ]
    print("\n".join(lines), flush=True)
    with tempfile.TemporaryDirectory() as place:
        cases: list[tuple[str, bool, Path | None]]
        cases = [(name, ladder, None) for name in args.samplers for ladder in (False, True)]
        if "random" in args.samplers:
            cases.append(("random", True, Path(place) / "study"))
        for sampler, ladder, folder in cases:
            seconds, digest = searched(
                stage, sampler, ladder, min(args.trials, FITTED if sampler == "tpe" else args.trials), folder
            )
            cells = [
                f"{1e3 * np.mean(block):.1f}" if (block := seconds[start : start + args.block]) else ""
                for start in blocks
            ]
            row = [sampler, "two rungs" if ladder else "none", "memory" if folder is None else "a folder", *cells]
            lines.append("| " + " | ".join([*row, f"`{digest}`"]) + " |")
            print(lines[-1], flush=True)
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
