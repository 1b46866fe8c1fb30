"""The machine and the versions of a run, as results name them. Imports torch."""

from __future__ import annotations

import os
import platform
from importlib import metadata

import torch

from scalesearch.profile.latency_setting import processor


def machine() -> dict[str, str]:
    """Return processor, cores, system and GPU, as results name them."""
    found = {"cpu": processor(), "cores": str(os.cpu_count()), "system": platform.system()}
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    packages = ("scalesearch", "torch", "torchvision", "timm", "optuna", "numpy", "faster-coco-eval")
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in packages}
