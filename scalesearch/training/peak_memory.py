"""Peak memory of a stretch of work. Standard library and torch."""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path

import torch

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class PeakMemory:
    """Peak bytes since creation: of the GPU, or of the resident set (since process start where it cannot be reset)."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            # A process that has not used the GPU yet has no statistics to reset.
            torch.cuda.init()  # type: ignore[no-untyped-call]
            torch.cuda.reset_peak_memory_stats(device)
            return
        with contextlib.suppress(OSError):
            _CLEAR.write_text("5")  # Linux: resets the high-water mark

    def read(self) -> int:
        """Return the peak so far, in bytes."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        try:
            (line,) = [row for row in _STATUS.read_text().splitlines() if row.startswith("VmHWM:")]
            return int(line.split()[1]) * 1024
        except (OSError, ValueError):
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            return peak if sys.platform == "darwin" else peak * 1024
