"""Are the workers of a large cluster busy, and is a search by many as good as by few? Writes results/benchmarks/many_workers.md.

    OMP_NUM_THREADS=1 python benchmarks/many_workers.py                              # about half an hour on one core
    python benchmarks/many_workers.py --only busy --workers 10 --trials 60 --band own --out /tmp/many.md

The real driver on the landscape of search_spaces/landscape.yaml, in a wider band or its own. Only time is simulated: trainings take
log-normal times with a mean of an hour, 2 % of them lose their worker on the way and go on from their checkpoint, and on the first
node (of eight workers; of two where there are ten) every training is lost within a minute, until it is benched after three in
a row, as the Ray executor does. The clock also runs while the driver works, by its processor time: meanwhile
workers wait. The busy share is of the workers on healthy nodes, until the last candidate is sent.
"""

from __future__ import annotations

import argparse
import dataclasses
import heapq
import math
import sys
import tempfile
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median

import numpy as np
import optuna
from check_samplers import trial_of

from scalesearch.app.rehearse import Scenario, on_landscape
from scalesearch.evidence.noise import Spread
from scalesearch.execute.executor import WorkerLostError
from scalesearch.mirror.ledger import OptunaLedger
from scalesearch.plan.ladder import epochs_at
from scalesearch.plan.sections import SamplerPlan
from scalesearch.plan.task import Outcome, Task
from scalesearch.profile.latency_setting import processor
from scalesearch.records.folder import StudyFolder
from scalesearch.records.front import best_trials
from scalesearch.rehearsal.simulation import REHEARSED, Answers, MemoryStore, Yardstick
from scalesearch.space.enumerated import EnumeratedBand
from scalesearch.study.check import check_proposals
from scalesearch.study.driver import search
from scalesearch.study.propose import Proposal, propose
from scalesearch.study.study import Store, Study

PLAN = Path(__file__).parents[1] / "search_spaces" / "landscape.yaml"
BAND = "band={macs: {min: 100M, max: 400M}, params: {max: 1M}}"
HOUR = 3600.0
LOST, QUICK, BENCH = 0.02, 60.0, 3
"""Share of trainings that lose their worker; seconds until the sick node loses one; losses in a row that bench a node."""


@dataclass(order=True)
class Ending:
    """The end of a training on a worker."""

    at: float
    number: int
    begun: float = field(compare=False)
    worker: int = field(compare=False)
    future: Future[Outcome] = field(compare=False)
    task: Task = field(compare=False)
    label: str = field(compare=False)
    lost: bool = field(compare=False)


class Cluster:
    """An executor on a simulated clock, which goes on when the driver waits."""

    def __init__(self, workers: int, sigma: float, seed: int, answers: Answers) -> None:
        self.workers = self.processes = workers
        self._sigma, self._answers = sigma, answers
        self._rng = np.random.default_rng([seed, workers])
        per_node = 8 if workers > 10 else 2
        self.sick = set(range(per_node)) if workers > 1 else set[int]()
        self._free, self._queue = list(range(workers)), deque[tuple[Future[Outcome], Task, str]]()
        self._endings: list[Ending] = []
        self._left: dict[Path, float] = {}
        self._number = self._losses = 0
        self.clock, self._worked = 0.0, time.process_time()
        self.spans: list[tuple[float, float]] = []
        """Begin and end of trainings on healthy workers."""
        self.sent: list[tuple[float, float]] = []
        """Clock and the driver's processor time when each candidate was first sent."""

    def submit(self, task: Task, label: str) -> Future[Outcome]:
        """Queue the task; it begins where a worker is free."""
        self._tick()
        if task.folder not in self._left:
            sigma = self._sigma
            self._left[task.folder] = HOUR * math.exp(sigma * self._rng.standard_normal() - sigma**2 / 2)
            self.sent.append((self.clock, time.process_time()))
        future: Future[Outcome] = Future()
        self._queue.append((future, task, label))
        self._begin(self.clock)
        return future

    def close(self) -> None:
        """Do nothing."""

    def start(self) -> None:
        """Let a training end, and those that ended while the driver worked."""
        self._tick()
        self._end(heapq.heappop(self._endings))
        while self._endings and self._endings[0].at <= self.clock:
            self._end(heapq.heappop(self._endings))
        self._worked = time.process_time()

    def busy(self) -> float:
        """Return the share of the healthy workers' time until the last candidate was sent in which they trained."""
        until = self.sent[-1][0]
        trained = sum(min(end, until) - begun for begun, end in self.spans if begun < until)
        trained += sum(until - one.begun for one in self._endings if one.begun < until)
        return trained / ((self.workers - len(self.sick)) * until)

    def _tick(self) -> None:
        """The clock runs while the driver works."""
        now = time.process_time()
        self.clock, self._worked = self.clock + now - self._worked, now

    def _begin(self, now: float) -> None:
        while self._free and self._queue:
            worker, (future, task, label) = self._free.pop(), self._queue.popleft()
            left = self._left[task.folder]
            lost = worker in self.sick or self._rng.random() < LOST
            takes = QUICK * self._rng.random() if worker in self.sick else left * (self._rng.random() if lost else 1.0)
            self._number += 1
            heapq.heappush(self._endings, Ending(now + takes, self._number, now, worker, future, task, label, lost))

    def _end(self, one: Ending) -> None:
        self.clock = max(self.clock, one.at)
        if one.worker not in self.sick:
            self.spans.append((one.begun, one.at))
            self._left[one.task.folder] -= one.at - one.begun  # it goes on from its checkpoint
        self._losses += one.worker in self.sick
        if one.worker not in self.sick or self._losses < BENCH:
            self._free.append(one.worker)
        self._begin(one.at)
        if one.lost:
            one.future.set_exception(WorkerLostError("lost"))
        else:
            one.future.set_result(self._answers(one.task, one.label))


@dataclass(frozen=True)
class Ran:
    """One simulated search."""

    busy: float
    own: float
    """Processor seconds of the driver a candidate."""
    late: float
    """The same over the last hundred candidates."""
    hours: float
    """Simulated, until the last training ended."""
    front: float
    """Hypervolume of the front by its true values, as a share of the whole band's."""
    failed: int


def run(
    stage: Scenario,
    yardstick: Yardstick,
    *,
    sampler: str,
    workers: int,
    sigma: float,
    trials: int,
    seed: int = 0,
    ladder: bool = False,
    folder: Path | None = None,
    check: bool = False,
) -> Ran:
    """Search once."""
    named = dataclasses.replace(stage.plan.sampler, name=sampler, startup=10)
    plan = dataclasses.replace(
        stage.plan,
        sampler=named,
        ladder=stage.plan.ladder if ladder else None,
        trials=trials,
        seed=seed,
        workers=workers,
    )
    store: Store = MemoryStore() if folder is None else StudyFolder.open(folder, plan, data=REHEARSED.data)
    ledger = None if folder is None else OptunaLedger(folder, plan.name, plan.objectives, stage.band.unit.axes)
    study = Study(plan=plan, unit=stage.band.unit, band=stage.band, folder=store, provenance=REHEARSED, ledger=ledger)
    cluster = Cluster(workers, sigma, seed, Answers(stage.surrogate, epochs_at(plan.ladder, plan.recipe.epochs)))
    began = time.process_time()
    search(study, cluster)
    own = time.process_time() - began
    found = study.trials()
    if check:
        check_proposals(plan, stage.band, store.rows())
    if isinstance(store, StudyFolder):
        store.close()
    ends = [own for _, own in cluster.sent[-101:]]
    return Ran(
        busy=cluster.busy(),
        own=own / trials,
        late=(ends[-1] - ends[0]) / (len(ends) - 1),
        hours=cluster.clock / HOUR,
        front=yardstick.measure(best_trials(found, plan.objectives))[1],
        failed=sum(trial.failed for trial in found),
    )


def stage_of(wide: bool) -> tuple[Scenario, Yardstick]:
    """The problem and its measure."""
    stage = on_landscape(PLAN, [BAND] if wide else [], "plain")
    return stage, Yardstick(stage.band, stage.surrogate, stage.plan.objectives)


def main() -> None:
    """Writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("busy", "proposal", "front"))
    parser.add_argument("--band", choices=("wide", "own"), default="wide")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--sigmas", type=float, nargs="+", default=[0.25, 0.5])
    parser.add_argument("--samplers", nargs="+", default=["random", "ehvi"])
    parser.add_argument("--trials", type=int, help="in place of the number of each case")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/many_workers.md"))
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    stage, yardstick = stage_of(args.band == "wide")
    command = f"OMP_NUM_THREADS=1 python benchmarks/many_workers.py {' '.join(sys.argv[1:])}".strip()
    lines = [
        f"`{command}`: the driver on simulated workers\n",
        f"{processor()}, one thread; {stage.facts[1]}\n",
    ]

    def add(*more: str) -> None:
        lines.extend(more)
        print("\n".join(more), flush=True)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text("\n".join(lines) + "\n")

    if args.only in (None, "busy"):
        add(
            "| sampler | rows in | workers | sigma | trials | busy | driver, s a trial | of the last 100 | hours | failed |",
            "| --- " * 10 + "|",
        )
        for sampler in args.samplers:
            for workers in args.workers:
                for sigma in args.sigmas:
                    add(_busy(stage, yardstick, sampler, workers, sigma, args.trials))
        if "random" in args.samplers and 100 in args.workers:
            with tempfile.TemporaryDirectory() as place:
                add(_busy(stage, yardstick, "random", 100, 0.5, args.trials, Path(place) / "study"))
    if args.only in (None, "proposal"):
        took = [f"{proposal(stage, 1_000, out):.3f} s with {out:,} in training" for out in (0, 100, 1_000)]
        add(
            "",
            "A proposal of ehvi after 1,000 trials, median of 5, without fitting hyperparameters: " + ", ".join(took),
        )
    if args.only in (None, "front"):
        trials = args.trials or 1_000
        add("", f"Hypervolume of the front after {trials:,} trials of ehvi, {args.seeds} seeds, sigma 0.5\n")
        for workers in (10, 100):
            found = [
                run(stage, yardstick, sampler="ehvi", workers=workers, sigma=0.5, trials=trials, seed=seed).front
                for seed in range(args.seeds)
            ]
            between = Spread(tuple(found)).interval
            interval = f", 95 % interval {between[0]:.4f} to {between[1]:.4f}" if between else ""
            add(f"- {workers} workers: mean {fmean(found):.4f}{interval}; {', '.join(f'{one:.4f}' for one in found)}")


def proposal(stage: Scenario, count: int, out: int) -> float:
    """Return the processor seconds of a proposal after `count` random trials, with `out` candidates in training."""
    band = stage.band
    assert isinstance(band, EnumeratedBand)
    drawn = [band.candidates[i] for i in np.random.default_rng(0).permutation(len(band.candidates))[: count + out]]
    epochs = stage.plan.recipe.epochs
    trials = [
        trial_of(i, Proposal(one, "random"), stage.surrogate.ap(one.members[0], 0, epochs))
        for i, one in enumerate(drawn[:count])
    ]
    busy, seconds = drawn[count:], []
    for i in range(6):
        began = time.process_time()
        propose(
            band,
            SamplerPlan(name="ehvi"),
            stage.plan.objectives,
            0,
            count + out + i,
            trials,
            taken=[one.key for one in busy],
            pending=[one.point for one in busy],
        )
        seconds.append(time.process_time() - began)
    return median(seconds[1:])


def _busy(
    stage: Scenario,
    yardstick: Yardstick,
    sampler: str,
    workers: int,
    sigma: float,
    trials: int | None,
    folder: Path | None = None,
) -> str:
    """A line of the table. Many workers have several rounds to do, except with the dear sampler."""
    dear = {1: 300, 10: 300, 100: 1_000, 1000: 1_500}
    count = trials or (max(1_000, 5 * workers) if sampler == "random" else dear.get(workers, 300))
    ran = run(stage, yardstick, sampler=sampler, workers=workers, sigma=sigma, trials=count, folder=folder)
    place = "memory" if folder is None else "a folder"
    return (
        f"| {sampler} | {place} | {workers:,} | {sigma} | {count:,} | {ran.busy:.1%} | {ran.own:.3f} | {ran.late:.3f} | "
        f"{ran.hours:.1f} | {ran.failed} |"
    )


if __name__ == "__main__":
    main()
