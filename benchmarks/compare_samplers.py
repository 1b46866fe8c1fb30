"""Our samplers and those of other libraries on tables that others measured. Writes results/benchmarks/samplers/.

    python benchmarks/outside_tables.py -o tables/
    export OMP_NUM_THREADS=1
    python benchmarks/compare_samplers.py --tables tables/ --seeds 0:5 --jobs 2       # then 5:20
    python benchmarks/sampler_page.py                                                 # the page, of all runs there are

A search has 100 evaluations. The band is the points from the 20th to the 40th percentile of a table's cost; of the
landscape it is its plan's. What was run is not run again: runs.jsonl has a line for each table, sampler and seed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from numpy.typing import NDArray
from opponents import OPPONENTS, Evaluation, version_of
from table_problems import NAMES, TRIALS, Measure, Problem, Step, facts, problem

from scalesearch import __version__
from scalesearch.execute.executor import InProcess
from scalesearch.rehearsal.simulation import REHEARSED, Answers, MemoryStore
from scalesearch.space.candidates import Candidate
from scalesearch.space.space import Point
from scalesearch.study.driver import search
from scalesearch.study.study import Study

OUT = Path(__file__).parents[1] / "results" / "benchmarks" / "samplers"
RUNS, PROBLEMS = "runs.jsonl", "problems.jsonl"
OURS = ("random", "qmc", "tpe", "nsga2", "evolution", "gp", "ehvi")
SAMPLERS = (*OURS, *OPPONENTS)


@dataclass(frozen=True)
class Run:
    """One search."""

    table: str
    setup: str
    sampler: str
    seed: int
    trials: int
    inside: float
    """Share of the evaluations inside the band."""
    seconds: float
    """Processor time of the whole search."""
    software: str
    steps: tuple[Step, ...]

    def to_json(self) -> str:
        return json.dumps({**dataclasses.asdict(self), "steps": [list(step) for step in self.steps]})

    def curve(self, what: str) -> NDArray[np.float64]:
        """Return `volume` or `regret` after 1 .. trials evaluations."""
        at = [step.evaluations for step in self.steps]
        places = np.searchsorted(at, np.arange(1, self.trials + 1), side="right") - 1
        return np.array([getattr(step, what) for step in self.steps])[places]


def read_lines(file: Path) -> list[Run]:
    """Return the runs of a file; none where there is no file."""
    found = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [Run(**{**data, "steps": tuple(Step(*step) for step in data["steps"])}) for data in found]


def ours(given: Problem, sampler: str, seed: int) -> list[Candidate]:
    """Return what one of our samplers proposes, by the driver as it is."""
    plan = given.stage.plan
    plan = dataclasses.replace(
        plan, sampler=dataclasses.replace(plan.sampler, name=sampler), ladder=None, seed=seed, workers=1
    )
    answers = Answers(given.stage.surrogate, (plan.recipe.epochs,))
    study = Study(plan=plan, unit=given.band.unit, band=given.band, folder=MemoryStore(), provenance=REHEARSED)
    search(study, InProcess(answers))
    return [given.by_key[trial.key] for trial in study.trials()]


def theirs(given: Problem, sampler: str, seed: int) -> list[Candidate]:
    """Return what an opponent evaluates."""
    evaluated: list[Candidate] = []

    def evaluate(point: Point) -> Evaluation:
        candidate = given.solve(point)
        evaluated.append(candidate)
        return given.evaluate(candidate, seed)

    OPPONENTS[sampler][0](given.axes, given.violations, evaluate, seed, TRIALS)
    assert len(evaluated) >= TRIALS, (sampler, len(evaluated))
    return evaluated[:TRIALS]  # the last generation of pymoo may go beyond


def run(given: Problem, measure: Measure, sampler: str, seed: int) -> Run:
    """Search once."""
    started = time.process_time()
    evaluated = (ours if sampler in OURS else theirs)(given, sampler, seed)
    seconds = time.process_time() - started
    steps, inside = measure.steps(evaluated, seed)
    software = version_of(sampler) if sampler in OPPONENTS else f"scalesearch {__version__}"
    return Run(
        table=given.name,
        setup=given.stage.setup,
        sampler=sampler,
        seed=seed,
        trials=len(evaluated),
        inside=round(inside, 3),
        seconds=round(seconds, 2),
        software=software,
        steps=steps,
    )


def _append(file: Path, line: str) -> None:
    # One write to a file opened for appending is whole, also beside another process.
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(handle, (line + "\n").encode())
    os.close(handle)


def run_table(name: str, tables: Path, wanted: Sequence[tuple[str, int]], file: Path) -> None:
    """Run the searches on one table, and append each to the file when it is done."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("scalesearch").setLevel(logging.CRITICAL)
    given = problem(name, tables)
    measure = Measure(given)
    problems = file.with_name(PROBLEMS)
    if not problems.exists() or f'"table": "{name}"' not in problems.read_text():
        _append(problems, json.dumps(facts(given)))
    for sampler, seed in wanted:
        found = run(given, measure, sampler, seed)
        _append(file, found.to_json())
        print(f"{name} {sampler} {seed}: {found.steps[-1]}, {found.inside:.0%} inside, {found.seconds} s", flush=True)


def _missing(asked: argparse.Namespace, file: Path) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    have = {(one.table, one.sampler, one.seed) for one in read_lines(file)}
    seeds = range(*map(int, asked.seeds.split(":")))
    for name in asked.names.split(","):
        wanted = [(sampler, seed) for sampler in asked.samplers.split(",") for seed in seeds]
        if left := [(sampler, seed) for sampler, seed in wanted if (name, sampler, seed) not in have]:
            yield name, left


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, required=True, help="folder of outside_tables.py")
    parser.add_argument("--names", default=",".join(NAMES), help="of the tables")
    parser.add_argument("--samplers", default=",".join(SAMPLERS))
    parser.add_argument("--seeds", default="0:5", help="from:to, the last one excluded")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("-o", "--out", type=Path, default=OUT)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    file = asked.out / RUNS
    with ProcessPoolExecutor(asked.jobs) as pool:
        for done in as_completed(
            [pool.submit(run_table, name, asked.tables, wanted, file) for name, wanted in _missing(asked, file)]
        ):
            done.result()


if __name__ == "__main__":
    main()
