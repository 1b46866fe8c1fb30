"""Training on a Ray cluster (the extra `ray`). Ray is imported only on demand.

Ray places tasks by CPUs and GPUs, detects lost workers and machines, and ends its workers when their driver ends. It
retries nothing: the driver sends a lost task again. The study's folder must be visible to all machines.
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

from scalesearch.execute.executor import Answer, UnfitWorkerError, WorkerLostError, answer, settle
from scalesearch.io.publish import publishing_folder
from scalesearch.plan.task import Outcome, Task

_LOCAL_STORE = 150 * 2**20
"""Bytes of shared memory for a local cluster: only tasks and outcomes pass through it."""


@dataclass(frozen=True, kw_only=True)
class Slots:
    """Resources of one task on a cluster, and the number of tasks at a time."""

    workers: int
    cpus: int
    gpus: float
    summary: str


def connect(address: str, *, cpus: int | None, gpus: float | None, workers: int | None) -> Slots:
    """Join the cluster at `auto`, host:port or ray://host:port, or start one on this machine (`local`).

    A task takes `gpus` GPUs, by default one if any node has one, and `cpus` CPUs, by default a GPU's share of its
    node's CPUs, or one. The default of `workers` is the number of tasks that fit into the present nodes. Raises
    ValueError without Ray, a cluster, or a node that a task fits on.
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
                f"--ray is auto, local or the host:port of a running cluster, but none answers at {address} "
                f"({str(error).splitlines()[0]}); start one by: ray start --head"
            ) from None
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return fit_slots(nodes, address, cpus=cpus, gpus=gpus, workers=workers)


def _knock(address: str) -> None:
    """Raise OSError where nothing listens at host:port; Ray itself would retry for minutes."""
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def fit_slots(
    nodes: Sequence[Mapping[str, float]], address: str, *, cpus: int | None, gpus: float | None, workers: int | None
) -> Slots:
    """Fit tasks into nodes of these resources (`CPU`, `GPU`). Raises ValueError if none fits and `workers` is None."""
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
    """Return the number of tasks that fit into the node. Tasks share a GPU only if each fits into it whole."""
    by_cpu = int(node.get("CPU", 0) // cpus)
    if not gpus:
        return by_cpu
    here = node.get("GPU", 0)
    by_gpu = int(here // gpus) if gpus >= 1 else int(here) * int(1 / gpus + 1e-9)
    return min(by_cpu, by_gpu)


class RayExecutor:
    """Trains tasks on the cluster that `connect` joined; `train` and `prepare` are module-level functions.

    Each attempt at a task works in its own folder, which starts as a copy of the latest attempt's. Only the driver
    moves the results into the task's folder: a worker that was taken for dead (its machine slept or lost its network)
    and wakes cannot overwrite its successor's results.
    """

    def __init__(
        self,
        slots: Slots,
        train: Callable[[Task], Outcome],
        prepare: Callable[..., None],
        arguments: tuple[Any, ...],
    ) -> None:
        self._ray = _import_ray()
        self.workers = self.processes = slots.workers
        self._work = pickle.dumps((train, prepare, arguments))
        self._gpus = slots.gpus
        # Ray must not retry: it does not know the attempts' folders, and the driver would not learn of the loss.
        self._remote = self._ray.remote(num_cpus=slots.cpus, num_gpus=slots.gpus, max_retries=0)(_work)
        self._out: dict[Future[Outcome], Any] = {}

    def submit(self, task: Task, label: str) -> Future[Outcome]:
        """Send the task to Ray, which starts it where there is room."""
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

    def start(self) -> None:
        """Do nothing: what was sent begins by itself."""

    def _finish(self, future: Future[Outcome], done: Future[Answer], task: Task, label: str) -> None:
        """Publish the attempt and settle the driver's future; called in a thread of Ray's."""
        try:
            result = self._understood(done, label)
            if isinstance(result, Outcome):
                _publish(task)
        except Exception as error:  # noqa: BLE001  every future must settle
            result = error
        self._out.pop(future, None)
        settle(future, result)

    def _understood(self, done: Future[Answer], label: str) -> Answer:
        """Return the worker's answer; errors of Ray itself mean a lost worker, or one that cannot start."""
        errors = self._ray.exceptions
        try:
            return done.result()
        except (errors.RayTaskError, errors.RuntimeEnvSetupError) as error:
            last = str(error).strip().splitlines()[-1]
            return UnfitWorkerError(f"a Ray worker cannot start a task: {last}; install scalesearch on every node")
        except errors.OutOfMemoryError as error:
            return WorkerLostError(f"Ray ended the worker of {label} for its node's lack of memory: {_first(error)}")
        except errors.RayError as error:
            return WorkerLostError(f"the worker of {label} was lost: {type(error).__name__}: {_first(error)}")

    def close(self) -> None:
        """Cancel running tasks and leave the cluster; a local cluster ends."""
        for reference in list(self._out.values()):
            with contextlib.suppress(Exception):  # nothing to cancel if the cluster is already gone
                self._ray.cancel(reference, force=True)
        self._ray.shutdown()


def _work(work: bytes, on_gpu: bool, task: Task) -> Answer:
    """Answer a task on a Ray worker."""
    if not on_gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Ray restricts the GPUs of tasks that have some, not of those without
    train: Callable[[Task], Outcome]
    train, prepare, arguments = pickle.loads(work)

    def attempt(task: Task) -> Outcome:
        _begin(task)
        return train(task)

    return answer(attempt, prepare, arguments, task)


# ---- attempts ----


def _span(task: Task) -> str:
    """Return the prefix of the folders of all attempts at these epochs; any of them is valid to continue from."""
    return f"attempt-{task.from_epoch}-{task.to_epoch}-"


def _begin(task: Task) -> None:
    """Make the attempt's folder atomically, as a copy of the latest earlier attempt or of the task's own files."""
    folder = task.folder.parent
    folder.mkdir(parents=True, exist_ok=True)
    earlier = sorted((path for path in folder.glob(f"{_span(task)}*") if path.is_dir()), reverse=True)
    with publishing_folder(task.folder) as aside:
        for source in (*earlier, folder):
            for file in _files(source):
                with contextlib.suppress(FileNotFoundError):  # replaced or removed meanwhile
                    shutil.copy2(file, aside)
            if any(aside.iterdir()):
                break


def _publish(task: Task) -> None:
    """Move an attempt's files into the task's folder, each atomically, and remove all attempts."""
    folder = task.folder.parent
    for file in _files(task.folder):
        os.replace(file, folder / file.name)
    for leftover in _leftovers(folder):
        shutil.rmtree(leftover, ignore_errors=True)


def _files(folder: Path) -> Iterator[Path]:
    """Return the files that a training left in its folder, without half-written ones."""
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
