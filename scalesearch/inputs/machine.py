"""The processors and memory that this process can use, within the limits of its container and its own."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import psutil

_CONTROL_GROUP = Path("/sys/fs/cgroup")


def processors() -> int:
    """Return the number of processors of this machine."""
    return os.cpu_count() or 1


def usable_processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else processors()


def disk_kind(folder: Path) -> str:
    """Return the name of the file system that holds the folder, which need not exist yet: ext4, nfs4, tmpfs, ...; ''
    where the system does not say."""
    place = Path(os.path.realpath(folder))
    try:
        disks = {Path(disk.mountpoint): disk.fstype for disk in psutil.disk_partitions(all=True)}
    except (OSError, RuntimeError):
        return ""
    return next((disks[above] for above in (place, *place.parents) if above in disks), "")


def free_memory() -> int:
    """Return the bytes of main memory that this process can still allocate."""
    return int(max(0, min(psutil.virtual_memory().available, _container(), _address_space())))


def _container() -> float:
    """Return the bytes left by the control group (version 2; Docker's and Kubernetes' limits); infinity without one."""
    try:
        most = (_CONTROL_GROUP / "memory.max").read_text().strip()
        taken = int((_CONTROL_GROUP / "memory.current").read_text())
        return float("inf") if most == "max" else int(most) - taken
    except (OSError, ValueError):
        return float("inf")


def _address_space() -> float:
    """Return the bytes left by `ulimit -v`; infinity without a limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return float("inf") if soft == resource.RLIM_INFINITY else soft - psutil.Process().memory_info().vms
