"""The setting of a latency on this machine: device by name, backend, precision, threads and versions.

May import cost, torch, and (inside one function) onnxruntime.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import torch

from scalesearch.cost.latency import LatencySetting
from scalesearch.inputs.machine import processors

BACKENDS = ("eager", "compile", "onnxruntime")
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def setting_of(device: str, backend: str, precision: str, threads: int | None, batch: int) -> LatencySetting:
    """Return the setting of this machine, with the device's own name and the versions of the software that computes.

    Sets torch's number of threads. Raises ValueError for options that are unavailable or do not go together.
    """
    if device not in ("cpu", "cuda"):
        raise ValueError(f"a device is cpu or cuda, but got {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("the device cuda needs a GPU, but PyTorch finds none here; take the device cpu")
    if backend not in BACKENDS or precision not in PRECISIONS:
        raise ValueError(
            f"a backend is one of {', '.join(BACKENDS)} and a precision one of {', '.join(PRECISIONS)}, but got "
            f"{backend!r} and {precision!r}"
        )
    if backend == "onnxruntime" and precision != "fp32":
        raise ValueError(f"onnxruntime is timed in fp32, but got {precision}; take the backend eager or compile")
    if threads and threads > (most := processors()):
        raise ValueError(f"threads must be at most the {most} processors of this machine, but got {threads}")
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    if backend == "onnxruntime":
        versions["onnxruntime"] = runtime_for(device).__version__
    torch.set_num_threads(threads or torch.get_num_threads())
    name = torch.cuda.get_device_name() if device == "cuda" else processor()
    return LatencySetting(
        device=name,
        backend=backend,
        precision=precision,
        threads=torch.get_num_threads(),
        batch=batch,
        versions=versions,
    )


def processor() -> str:
    """Return the processor's own name, without its number of cores: the setting states the threads."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def runtime_for(device: str) -> Any:
    """Return the package onnxruntime. ValueError, with the mend, if it is missing or cannot run on the device cuda."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 - needed to export the file
    except ImportError as error:
        raise ValueError(
            f"the backend onnxruntime needs the extra onnx, but there is no {error.name}; pip install 'scalesearch[onnx]'"
        ) from None
    if device == "cuda" and "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise ValueError("onnxruntime runs on a GPU only as onnxruntime-gpu; install that, or take the device cpu")
    return onnxruntime


def device_of(setting: LatencySetting) -> torch.device:
    """Return the torch device of a setting: a GPU where its name is this GPU's."""
    cuda = torch.cuda.is_available() and setting.device == torch.cuda.get_device_name()
    return torch.device("cuda" if cuda else "cpu")
