"""Which exceptions of a training are the fault of its machine, and not of the detector that is trained."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

_ERRNOS = frozenset(
    getattr(errno, name)
    for name in (
        *("EIO", "ESTALE", "ENODEV", "ENXIO", "EREMOTEIO", "EROFS", "ENOTCONN", "ETIMEDOUT", "ECONNRESET"),
        *("EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH", "ENOSPC", "EDQUOT"),
    )
    if hasattr(errno, name)
)
"""Of disks and networks that fail, and of full disks."""
_DEVICE = re.compile(
    r"(cuda|hip) (driver )?(runtime )?error|(cuda|hip) unknown error|cuda driver initialization failed"
    r"|cublas_status_|hipblas_status_|cudnn_status_|miopenstatus|cudnn error|cusolver_status_|cusparse_status_|cufft"
    r"|nccl (communicator|error|remote|operation|watchdog)|nccl\w*error|nvrtc|nvml|\bxid\b|uncorrectable ecc"
    r"|found no nvidia driver|no cuda gpus are available|no cuda-capable device|driver/library version mismatch"
    r"|device-side assert|unspecified launch failure|illegal memory access|misaligned address|launch timed out"
    r"|fallen off the bus|gpu is lost|bus error",
    re.IGNORECASE,
)
_DESIGN = re.compile(
    r"out of memory|_alloc_failed|_not_supported|_invalid_value|_bad_param|invalid configuration argument"
    r"|invalid argument|too many resources requested",
    re.IGNORECASE,
)
"""A CUDA error that a detector can cause by its shapes, and that leaves the process as it was."""


def is_machine_fault(error: BaseException) -> bool:
    """Return whether the error is its machine's: a GPU, driver, link or disk that failed.

    Most errors of a GPU are sticky: the process fails each later training, too, and a new one may not. An illegal access
    can also be a detector's fault, which shows when other machines fail it, too. Memory that does not suffice is the
    detector's. Judged by the texts of CUDA, ROCm and NCCL, since torch has one type for most of their errors.
    """
    return any(_by_itself(one) for one in _chain(error))


def _by_itself(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__:
        return False
    if isinstance(error, OSError) and error.errno in _ERRNOS:
        return True
    text = str(error)
    return bool(_DEVICE.search(text)) and not _DESIGN.search(text)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, and those that it came from."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
