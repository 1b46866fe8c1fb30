"""What this process may take of its machine: processors and memory, its container's and its own limits regarded."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import psutil

_CONTROL_GROUP = Path("/sys/fs/cgroup")


def processors() -> int:
    """How many processors this machine has."""
    return os.cpu_count() or 1


def free_memory() -> int:
    """Bytes of main memory that this process may still take."""
    return int(max(0, min(psutil.virtual_memory().available, _container(), _address_space())))


def _container() -> float:
    """What a control group leaves (version 2; Docker's and Kubernetes' limits); infinity where there is none."""
    try:
        most = (_CONTROL_GROUP / "memory.max").read_text().strip()
        taken = int((_CONTROL_GROUP / "memory.current").read_text())
        return float("inf") if most == "max" else int(most) - taken
    except (OSError, ValueError):
        return float("inf")


def _address_space() -> float:
    """What `ulimit -v` leaves."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return float("inf") if soft == resource.RLIM_INFINITY else soft - psutil.Process().memory_info().vms
