"""Joining a Ray cluster, and how many trainings fit into its nodes. Ray is imported only on demand."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
    ray = import_ray()
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
    slots = sum(room(node, cores, each) for node in nodes)
    wanted = f"{cores} CPU" + (f" and {each:g} GPU" if each else "")
    if not slots and workers is None:
        raise ValueError(
            f"a task needs {wanted} of one node, but none of the {len(nodes)} nodes at {address} has them; ask for "
            "less by --cpus-per-task and --gpus-per-task, or say by --workers how many tasks a growing cluster shall run"
        )
    count = workers or slots
    summary = f"ray at {address}: {len(nodes)} nodes, {count} trainings at a time, {wanted} each"
    return Slots(workers=count, cpus=cores, gpus=each, summary=summary)


def room(node: Mapping[str, float], cpus: int, gpus: float) -> int:
    """Return the number of tasks that fit into the node. Tasks share a GPU only if each fits into it whole."""
    by_cpu = int(node.get("CPU", 0) // cpus)
    if not gpus:
        return by_cpu
    here = node.get("GPU", 0)
    by_gpu = int(here // gpus) if gpus >= 1 else int(here) * int(1 / gpus + 1e-9)
    return min(by_cpu, by_gpu)


def import_ray() -> Any:
    """Return the package. ValueError with the command that installs it."""
    try:
        import ray
    except ModuleNotFoundError:
        raise ValueError("--ray needs the package ray: pip install 'scalesearch[ray]'") from None
    return ray
