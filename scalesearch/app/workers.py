"""Executors of a study's trainings (this process, local processes or a Ray cluster), and the worker's side of them.

A worker opens the plan's data once. It must have the driver's data and versions, and see the study's folder. Imports
torch.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from scalesearch.app.confirm_latency import confirm_latency, plan_table
from scalesearch.app.train_one import group_trainer, trainer
from scalesearch.cost.latency import LatencyTable
from scalesearch.data.decoded_file import decoded_folder
from scalesearch.data.sets import Data, open_data
from scalesearch.execute.executor import Answer, Executor, InProcess, Payload, Reply, UnfitWorkerError, portable
from scalesearch.execute.processes import LocalProcesses
from scalesearch.execute.ray_cluster import Slots, connect
from scalesearch.execute.ray_executor import RayExecutor
from scalesearch.execute.together import TaskGroup, Together
from scalesearch.execute.worker_executor import WorkerExecutor
from scalesearch.inputs.machine import processors
from scalesearch.plan.plan import Plan
from scalesearch.plan.sections import DataPlan
from scalesearch.plan.task import Outcome, Task
from scalesearch.profile.environment import machine, versions
from scalesearch.training import run_task as training

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Where:
    """Where to train, as given on the command line; `workers` defaults to the plan's number for local workers."""

    workers: int | None = None
    ray: str | None = None
    """Address of a cluster, `auto` or `local`; None for this machine without Ray."""
    cpus: int | None = None
    """CPUs of one task on the cluster."""
    gpus: float | None = None


HERE = Where()


@dataclass(frozen=True, kw_only=True)
class Engine:
    """The resolved place: number of trainings at a time, and threads of each."""

    workers: int
    threads: int
    slots: Slots | None = None
    """None without a Ray cluster."""


@dataclass(frozen=True, kw_only=True)
class _Footing:
    """What a worker must have in common with the driver."""

    data: DataPlan
    fingerprint: str
    folder: Path
    threads: int
    gpu: bool
    """Whether it trains on a GPU."""
    versions: tuple[tuple[str, str], ...]


def find_engine(plan: Plan, where: Where) -> Engine:
    """Resolve where to train, and join the Ray cluster if one is given. Raises ValueError where that is impossible."""
    if where.ray is None:
        if where.cpus is not None or where.gpus is not None:
            raise ValueError("--cpus-per-task and --gpus-per-task are for --ray; without it use threads and --workers")
        workers = where.workers or plan.workers or 1
        if plan.threads and plan.threads > (most := processors()):
            raise ValueError(
                f"threads must be at most the {most} processors of this machine, but the plan has {plan.threads}; "
                f"go on with --set threads={most}"
            )
        return Engine(workers=workers, threads=plan.threads or max(1, torch.get_num_threads() // workers))
    slots = connect(where.ray, cpus=where.cpus or plan.threads, gpus=where.gpus, workers=where.workers)
    logger.info(slots.summary)
    return Engine(workers=slots.workers, threads=slots.cpus, slots=slots)


def make_executor(engine: Engine, plan: Plan, data: Data, folder: Path) -> Executor:
    """Return the executor for the plan's opened data and the study's folder."""
    source = plan.data.source
    if Path(source).exists():  # a worker may start in another folder
        source = str(Path(source).absolute())
    footing = _Footing(
        data=dataclasses.replace(plan.data, source=source),
        fingerprint=data.fingerprint,
        folder=folder.absolute(),
        threads=engine.threads,
        gpu=engine.slots.gpus > 0 if engine.slots else torch.cuda.is_available(),
        versions=_versions(),
    )
    table = plan_table(plan)
    worker = (_prepare, (footing, table))
    train, train_group = trainer(data), group_trainer(data)

    def run(task: Task, label: str) -> Outcome:
        return confirm_latency(task, table) if task.latency else train(task, label)

    def run_group(group: TaskGroup, label: str) -> list[Answer]:
        first = group.tasks[0]
        return [confirm_latency(first, table)] if first.latency else train_group(group, label)

    if plan.together > 1:
        return Together(_executor(engine, run_group, _train_group_here, *worker), plan.together)
    return _executor(engine, run, _train_here, *worker)


def _executor(
    engine: Engine,
    train: Callable[[Payload, str], Reply],
    train_there: Callable[[Payload], Reply],
    prepare: Callable[..., None],
    arguments: tuple[Any, ...],
) -> InProcess[Payload, Reply] | WorkerExecutor[Payload, Reply]:
    """Return the executor that trains by `train` in this process, else by `train_there` in its workers."""
    if engine.slots is not None:
        return RayExecutor(engine.slots, train_there, prepare, arguments)

    def processes() -> LocalProcesses[Payload, Reply]:
        return LocalProcesses(engine.workers, train_there, prepare, arguments, environments(engine))

    return InProcess(train, processes) if engine.workers == 1 else processes()


def environments(engine: Engine) -> list[dict[str, str]]:
    """Return the environments of local workers in turn: one GPU each where there are several; one is shared."""
    common = {"OMP_NUM_THREADS": str(engine.threads)}
    count = torch.cuda.device_count()
    if count < 2:
        return [common]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    names = visible if len(visible) == count else [str(i) for i in range(count)]
    return [{**common, "CUDA_VISIBLE_DEVICES": name} for name in names]


# ---- in a worker ----


@functools.cache
def _opened(footing: _Footing) -> Data:
    """Open the data once a process. Raises UnfitWorkerError where anything differs from the driver."""
    here = f"a worker on {socket.gethostname()}"
    if differ := [f"{name} {ours}" for name, ours in _versions() if dict(footing.versions)[name] != ours]:
        wanted = [f"{name} {dict(footing.versions)[name]}" for name in (text.split()[0] for text in differ)]
        raise UnfitWorkerError(
            f"{here} must have the driver's versions, but has {', '.join(differ)} and the driver {', '.join(wanted)}; "
            "install the same on every machine"
        )
    if footing.gpu and (fault := gpu_fault()):
        raise UnfitWorkerError(f"{here} must compute on its GPU, but {fault}")
    if not footing.folder.is_dir():
        raise UnfitWorkerError(
            f"{here} does not see {footing.folder}; with --ray, --out must be a folder on a disk that all machines share"
        )
    source = footing.data
    try:
        data = open_data(source.source, train=source.train, val=source.val, select=source.select, seed=source.seed)
    except (ValueError, OSError) as error:
        raise UnfitWorkerError(f"{here} cannot open the data: {error}") from None
    if data.fingerprint != footing.fingerprint:
        raise UnfitWorkerError(
            f"{here} must have the driver's data, but at {source.source} finds other data ({data.fingerprint}, and the "
            f"driver {footing.fingerprint}); put the same there"
        )
    return data


def gpu_fault() -> str:
    """Say in one line why this process cannot compute on its GPU; '' where it can."""
    if not torch.cuda.is_available():  # a training would go to the CPU without a word
        return "torch finds none (is its driver loaded?)"
    try:
        ones = torch.ones(64, 64, device="cuda")
        found = float((ones @ ones).sum())
    except RuntimeError as error:
        return str(error).strip().splitlines()[0]
    return "" if found == 64**3 else f"a sum of {64**3} ones on it gives {found:g}"


def _versions() -> tuple[tuple[str, str], ...]:
    """Return the versions without the suffix that marks CPU and GPU builds."""
    return tuple((name, version.split("+")[0]) for name, version in versions().items())


_footing: _Footing | None = None
_table: LatencyTable | None = None


def _prepare(footing: _Footing, table: LatencyTable | None) -> None:
    global _footing, _table
    torch.set_num_threads(footing.threads)
    _opened(footing)
    _footing, _table = footing, table


def _train_here(task: Task) -> Outcome:
    assert _footing is not None, "a worker is prepared before it trains"
    if task.latency:
        outcome = confirm_latency(task, _table)
    else:
        outcome = training.run_task(task, _opened(_footing), cache=decoded_folder())
    return dataclasses.replace(outcome, machine=machine())


def _train_group_here(group: TaskGroup) -> list[Answer]:
    assert _footing is not None, "a worker is prepared before it trains"
    if group.tasks[0].latency:
        return [_train_here(group.tasks[0])]
    results = training.run_tasks(group.tasks, _opened(_footing), cache=decoded_folder())
    return [
        portable(one) if isinstance(one, Exception) else dataclasses.replace(one, machine=machine()) for one in results
    ]
