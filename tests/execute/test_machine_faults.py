"""Whose fault an exception of a training is."""

from __future__ import annotations

import errno

import pytest
import torch

from scalesearch.execute.machine_faults import is_machine_fault
from scalesearch.plan.task import TaskError


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be asynchronously reported",
        "CUDA error: device-side assert triggered",
        "CUDA error: unspecified launch failure",
        "CUDA error: uncorrectable ECC error encountered",
        "CUDA error: no kernel image is available for execution on the device",
        "CUDA error: unknown error",
        "HIP error: an illegal memory access was encountered",
        "CUDA driver error: unknown error",
        "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "NCCL error in: ProcessGroupNCCL.cpp:1275, unhandled system error",
        "NCCL communicator was aborted on rank 1.",
        "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU",
        "No CUDA GPUs are available",
        "NVML: Driver/library version mismatch",
        "Xid 79: GPU has fallen off the bus",
    ],
)
def test_a_gpu_that_fails_is_the_machines_fault(text: str) -> None:
    assert is_machine_fault(RuntimeError(text))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"),
        RuntimeError("CUDA error: invalid configuration argument"),
        MemoryError(),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        ValueError(""),
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
    ],
)
def test_what_a_design_can_cause_is_not(error: Exception) -> None:
    assert not is_machine_fault(error)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EROFS])
def test_a_disk_that_fails_is_the_machines_fault(number: int) -> None:
    assert is_machine_fault(OSError(number, "as the system says"))


def test_an_error_that_came_from_a_machines_fault_is_one() -> None:
    """A checkpoint that could not be written is an error of the disk to its writer, unless the GPU failed."""
    fault, full = RuntimeError("CUDA error: unspecified launch failure"), TaskError("a checkpoint must fit on its disk")
    full.__cause__ = fault
    assert is_machine_fault(full)
    full.__cause__ = full  # a circle
    assert not is_machine_fault(full)
    assert is_machine_fault(TaskError(f"a checkpoint must fit on its disk, but writing it failed ({fault})"))
