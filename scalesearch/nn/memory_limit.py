"""Checks whether a detector fits into free memory, by arithmetic, before any is taken.

The arithmetic is a lower bound (cost/memory.py): what it refuses could not run. Imports torch, arch and cost.
"""

from __future__ import annotations

import torch

from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.budget import human
from scalesearch.cost.memory import TrainingSettings, inference_memory, peak_activations, training_memory
from scalesearch.inputs.machine import free_memory

CPU = torch.device("cpu")


def free_on(device: torch.device) -> int:
    """Return the bytes of the GPU's or of main memory that this process may still take."""
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else free_memory()


def check_inference(spec: DetectorSpec, batch: int, device: torch.device = CPU) -> None:
    """Raise ValueError where memory does not suffice to run the detector on `batch` images at a time."""
    try:
        needed = inference_memory(spec) + (batch - 1) * peak_activations(spec)
    except ValueError:  # a timm backbone that was not measured at this size
        return
    height, width = spec.size
    if needed > (free := free_on(device)):
        raise ValueError(
            f"a detector must fit into memory, but at {height}x{width} and batch {batch} this one needs at least "
            f"{human(needed, 'memory')} and {human(free, 'memory')} are free; take a smaller size or batch"
        )


def training_shortage(
    spec: DetectorSpec,
    *,
    batch: int,
    optimizer: str,
    momentum: bool,
    checkpointing: bool,
    half: bool = False,
    frozen: bool = False,
    device: torch.device = CPU,
) -> str:
    """Say in one line why memory does not suffice to train the detector; '' where it does.

    `frozen`: some or all stages of its backbone are frozen throughout.
    """
    training = TrainingSettings(
        batch=batch, optimizer=optimizer, momentum=momentum, frozen=frozen, half=half, checkpointing=checkpointing
    )
    try:
        needed = training_memory(spec, training)
    except ValueError:  # as above
        return ""
    height, width = spec.size
    if needed <= (free := free_on(device)):
        return ""
    return (
        f"a training must fit into memory, but at {height}x{width} and batch {batch} this one needs at least "
        f"{human(needed, 'memory')} and {human(free, 'memory')} are free; take a smaller batch or size, or checkpointing"
    )
