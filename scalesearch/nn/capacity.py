"""Whether a detector fits into the memory that is free, by arithmetic and before any of it is taken.

The arithmetic is a lower bound (cost/memory.py): what it refuses would not have run. Imports torch, psutil, arch and cost.
"""

from __future__ import annotations

import resource
from pathlib import Path

import psutil
import torch

from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.budget import human
from scalesearch.cost.memory import Training, inference_memory, peak_activations, training_memory

CPU = torch.device("cpu")
_CONTROL_GROUP = Path("/sys/fs/cgroup")


def free_memory(device: torch.device = CPU) -> int:
    """Bytes that this process may still take: of the GPU, or of the machine, its container and the process's own limit."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(max(0, min(psutil.virtual_memory().available, _container(), _limit())))


def check_inference(spec: DetectorSpec, batch: int, device: torch.device = CPU) -> None:
    """ValueError where the detector cannot run over `batch` images at a time."""
    try:
        needed = inference_memory(spec) + (batch - 1) * peak_activations(spec)
    except ValueError:  # a timm backbone that was not measured at this size
        return
    height, width = spec.size
    if needed > (free := free_memory(device)):
        raise ValueError(
            f"a detector must fit into memory, but at {height}x{width} and batch {batch} this one needs at least "
            f"{human(needed, 'memory')} and {human(free, 'memory')} are free; take a smaller size or batch"
        )


def training_shortage(
    spec: DetectorSpec, *, batch: int, optimizer: str, momentum: bool, checkpointing: bool, device: torch.device = CPU
) -> str:
    """Why the detector cannot be trained for want of memory, as a line; empty where it can."""
    try:
        needed = training_memory(spec, Training(batch=batch, optimizer=optimizer, momentum=momentum)) // (
            2 if checkpointing else 1
        )
    except ValueError:  # as above
        return ""
    height, width = spec.size
    if needed <= (free := free_memory(device)):
        return ""
    return (
        f"a training must fit into memory, but at {height}x{width} and batch {batch} this one needs at least "
        f"{human(needed, 'memory')} and {human(free, 'memory')} are free; take a smaller batch or size, or checkpointing"
    )


def _container() -> float:
    """What a control group leaves (version 2; Docker's and Kubernetes' limits); infinity where there is none."""
    try:
        most = (_CONTROL_GROUP / "memory.max").read_text().strip()
        taken = int((_CONTROL_GROUP / "memory.current").read_text())
        return float("inf") if most == "max" else int(most) - taken
    except (OSError, ValueError):
        return float("inf")


def _limit() -> float:
    """What `ulimit -v` leaves of the address space."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return float("inf") if soft == resource.RLIM_INFINITY else soft - psutil.Process().memory_info().vms
