"""A Ray cluster as the place where trainings run (the extra `ray`). Ray is imported only when it is asked for.

Ray places tasks by CPUs and GPUs, notices workers and machines that are gone, and ends its workers when their driver
is. It retries nothing: the driver sends a lost task again. The study's folder must be one that all machines see.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scalesearch.execute.executor import Answer, UnfitWorkerError, WorkerLostError, answer, resolve
from scalesearch.io.publish import publishing_folder
from scalesearch.plan.task import Outcome, Task

_LOCAL_STORE = 150 * 2**20
"""Bytes of shared memory for a cluster of our own: what goes through it is a task and a row's worth of numbers."""


@dataclass(frozen=True, kw_only=True)
class Slots:
    """What one task takes of a cluster, and how many run at a time."""

    workers: int
    cpus: int
    gpus: float
    summary: str


def connect(address: str, *, cpus: int | None, gpus: float | None, workers: int | None) -> Slots:
    """Joins the cluster at `auto`, host:port or ray://host:port, or starts one of this machine (`local`).

    A task takes `gpus` GPUs, by default one where any node has one, and `cpus` CPUs, by default a GPU's share of its
    node's, or one. There are as many workers as tasks fit into the nodes that are there now, unless `workers` says.
    Raises ValueError without Ray, a cluster, or a node that a task fits on.
    """
    ray = _import_ray()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not ray.is_initialized():
        own: dict[str, Any] = {"include_dashboard": False, "object_store_memory": _LOCAL_STORE}
        own |= {"_node_ip_address": "127.0.0.1"}
        try:
            _knock(address)
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", **(own if address == "local" else {}))
        except (OSError, RuntimeError, ValueError) as error:
            raise ValueError(
                f"--ray is auto, local or the host:port of a cluster that runs, but none answers at {address} "
                f"({str(error).splitlines()[0]}); start one by: ray start --head"
            ) from None
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return fit(nodes, address, cpus=cpus, gpus=gpus, workers=workers)


def _knock(address: str) -> None:
    """Ray would try for minutes. OSError where nothing listens at host:port."""
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def fit(
    nodes: Sequence[Mapping[str, float]], address: str, *, cpus: int | None, gpus: float | None, workers: int | None
) -> Slots:
    """How tasks fit into nodes of these resources (`CPU`, `GPU`). ValueError where none does and `workers` is None."""
    each = (1.0 if any(node.get("GPU") for node in nodes) else 0.0) if gpus is None else gpus
    share = [int(node.get("CPU", 0) * min(each, 1) / node["GPU"]) for node in nodes if each and node.get("GPU")]
    cores = cpus or max(1, min(share, default=1))
    slots = sum(_slots(node, cores, each) for node in nodes)
    wanted = f"{cores} CPU" + (f" and {each:g} GPU" if each else "")
    if not slots and workers is None:
        raise ValueError(
            f"a task needs {wanted} of one node, but none of the {len(nodes)} nodes at {address} has them; ask for "
            "less by --cpus-per-task and --gpus-per-task, or say by --workers how many tasks a growing cluster shall run"
        )
    count = workers or slots
    summary = f"ray at {address}: {len(nodes)} nodes, {count} trainings at a time, {wanted} each"
    return Slots(workers=count, cpus=cores, gpus=each, summary=summary)


def _slots(node: Mapping[str, float], cpus: int, gpus: float) -> int:
    """Tasks that fit into the node. A GPU is shared only by tasks that fit into it whole."""
    by_cpu = int(node.get("CPU", 0) // cpus)
    if not gpus:
        return by_cpu
    here = node.get("GPU", 0)
    by_gpu = int(here // gpus) if gpus >= 1 else int(here) * int(1 / gpus + 1e-9)
    return min(by_cpu, by_gpu)


class RayExecutor:
    """Trains tasks on the cluster that `connect` joined; `train` and `prepare` are module-level functions.

    Each attempt at a task works in a folder of its own, which begins as a copy of the latest attempt's, and the driver
    alone moves what came of it into the task's folder: a worker that was taken for dead (its machine slept, or lost its
    network) and wakes cannot write over what its successor has done.
    """

    def __init__(
        self,
        slots: Slots,
        train: Callable[[Task], Outcome],
        prepare: Callable[..., None],
        arguments: tuple[Any, ...],
    ) -> None:
        self._ray = _import_ray()
        self.workers = slots.workers
        self._work = pickle.dumps((train, prepare, arguments))
        self._gpus = slots.gpus
        # No retries of Ray's: it would not know of our attempts' folders, nor the driver of the loss.
        self._remote = self._ray.remote(num_cpus=slots.cpus, num_gpus=slots.gpus, max_retries=0)(_work)
        self._out: dict[Future[Outcome], Any] = {}

    def submit(self, task: Task, label: str) -> Future[Outcome]:
        """Hand the task to Ray, which starts it where there is room."""
        folder = task.folder.absolute()
        weights = task.weights.absolute() if task.weights else None
        attempt = folder / f"{_span(task)}{time.time_ns()}-{uuid.uuid4().hex[:6]}"
        sent = replace(task, folder=attempt, weights=weights)
        future: Future[Outcome] = Future()
        future.set_running_or_notify_cancel()
        reference = self._remote.remote(self._work, self._gpus > 0, sent)
        self._out[future] = reference
        reference.future().add_done_callback(lambda done: self._finish(future, done, sent, label))
        return future

    def _finish(self, future: Future[Outcome], done: Future[Answer], task: Task, label: str) -> None:
        """Publishes the attempt and resolves the driver's future; called in a thread of Ray's."""
        try:
            result = self._understood(done, label)
            if isinstance(result, Outcome):
                _publish(task)
        except Exception as error:  # noqa: BLE001  a future always ends
            result = error
        self._out.pop(future, None)
        resolve(future, result)

    def _understood(self, done: Future[Answer], label: str) -> Answer:
        """What a worker sent back; what Ray itself raised is the loss of a worker, or a worker that cannot start."""
        errors = self._ray.exceptions
        try:
            return done.result()
        except (errors.RayTaskError, errors.RuntimeEnvSetupError) as error:
            last = str(error).strip().splitlines()[-1]
            return UnfitWorkerError(f"a Ray worker cannot start a task: {last}; install scalesearch on every node")
        except errors.OutOfMemoryError as error:
            return WorkerLostError(f"Ray ended the worker of {label} for its node's lack of memory: {_first(error)}")
        except errors.RayError as error:
            return WorkerLostError(f"the worker of {label} is gone: {type(error).__name__}: {_first(error)}")

    def close(self) -> None:
        """Ends what runs and leaves the cluster; one of this machine ends with it."""
        for reference in list(self._out.values()):
            with contextlib.suppress(Exception):  # a cluster that is gone already has nothing to cancel
                self._ray.cancel(reference, force=True)
        self._ray.shutdown()


def _work(work: bytes, on_gpu: bool, task: Task) -> Answer:
    """A task on a Ray worker."""
    if not on_gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Ray hides GPUs from tasks that have some, not from those without
    train: Callable[[Task], Outcome]
    train, prepare, arguments = pickle.loads(work)

    def attempt(task: Task) -> Outcome:
        _begin(task)
        return train(task)

    return answer(attempt, prepare, arguments, task)


# ---- attempts ----


def _span(task: Task) -> str:
    """How the folders of all attempts at this part of the training begin: any of them is right to go on from."""
    return f"attempt-{task.from_epoch}-{task.to_epoch}-"


def _begin(task: Task) -> None:
    """Makes the attempt's folder, from the latest earlier attempt or the task's own files; whole or not there."""
    folder = task.folder.parent
    folder.mkdir(parents=True, exist_ok=True)
    earlier = sorted((path for path in folder.glob(f"{_span(task)}*") if path.is_dir()), reverse=True)
    with publishing_folder(task.folder) as aside:
        for source in (*earlier, folder):
            for file in _files(source):
                with contextlib.suppress(FileNotFoundError):  # replaced or tidied away meanwhile
                    shutil.copy2(file, aside)
            if any(aside.iterdir()):
                break


def _publish(task: Task) -> None:
    """Moves an attempt's files into the task's folder, each whole, and forgets the attempts."""
    folder = task.folder.parent
    for file in _files(task.folder):
        os.replace(file, folder / file.name)
    for leftover in _leftovers(folder):
        shutil.rmtree(leftover, ignore_errors=True)


def _files(folder: Path) -> Iterator[Path]:
    """What a training left in its folder, without files half written."""
    return (file for file in sorted(folder.iterdir()) if file.is_file() and file.suffix not in (".part", ".tmp"))


def _leftovers(folder: Path) -> Iterable[Path]:
    return [*folder.glob("attempt-*"), *folder.glob(".attempt-*")]


def _first(error: Exception) -> str:
    return str(error).strip().split(". ")[0].splitlines()[0]


def _import_ray() -> Any:
    try:
        import ray
    except ModuleNotFoundError:
        raise ValueError("--ray needs the package ray: pip install 'scalesearch[ray]'") from None
    return ray
