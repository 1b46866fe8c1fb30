"""Where something ran: machine and versions, as results name them. Imports torch."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

import torch


def machine() -> dict[str, str]:
    """Processor or GPU, cores and system, as results name them."""
    found = {"cpu": _cpu(), "cores": str(os.cpu_count()), "system": platform.system()}
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Of Python and the packages that results depend on."""
    packages = ("scalesearch", "torch", "torchvision", "timm", "optuna", "numpy", "faster-coco-eval")
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in packages}
