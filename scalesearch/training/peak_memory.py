"""The most memory that a stretch of work held. Standard library and torch."""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path

import torch

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class PeakMemory:
    """Bytes since its making: the process's resident set (since its start where that cannot be reset) or the GPU's."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            # A process that has not used it yet has no statistics to reset.
            torch.cuda.init()  # type: ignore[no-untyped-call]
            torch.cuda.reset_peak_memory_stats(device)
            return
        with contextlib.suppress(OSError):
            _CLEAR.write_text("5")  # Linux: the high-water mark starts anew

    def read(self) -> int:
        """The peak until now."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        try:
            (line,) = [row for row in _STATUS.read_text().splitlines() if row.startswith("VmHWM:")]
            return int(line.split()[1]) * 1024
        except (OSError, ValueError):
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            return peak if sys.platform == "darwin" else peak * 1024
