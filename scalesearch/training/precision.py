"""Mixed precision of a training: autocast, and the loss scale that fp16 needs. Imports torch and plan."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from scalesearch.plan.task import TaskError
from scalesearch.training.optimizer import begin_momentum

_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """fp32, bf16 or fp16 on a device. Raises TaskError for fp16 off CUDA.

    fp16 has five bits of exponent. Gradients are multiplied by a scale, which is halved when one overflows; that step
    is skipped. This is normal: a handful of times at the start, then once in thousands of steps.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        if name == "fp16" and device.type != "cuda":
            raise TaskError(
                f"precision fp16 needs a CUDA device, but this training is on the {device.type}: take precision bf16 "
                "or fp32"
            )
        self.device, self.dtype = device.type, _TYPES[name]
        self.scaler = torch.amp.GradScaler(device.type) if name == "fp16" else None

    def autocast(self) -> torch.autocast:
        """Return the context of a forward pass."""
        return torch.autocast(self.device, self.dtype, enabled=self.dtype != torch.float32)

    def backward(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        """Compute the gradients of a loss, unscaled."""
        if self.scaler is None:
            loss.backward()  # type: ignore[no-untyped-call]
            return
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(optimizer)

    def accepts(self, size: float) -> bool:
        """Whether training continues after a gradient of this norm: overflow due to the scale only skips the step."""
        return math.isfinite(size) or (self.scaler is not None and self.scaler.get_scale() > 1.0)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Do the optimiser's step; skip it where a gradient overflowed due to the scale."""
        begin_momentum(optimizer)
        if self.scaler is None:
            optimizer.step()
            return
        self.scaler.step(optimizer)
        self.scaler.update()

    def state(self) -> dict[str, Any]:
        """Return the scale and the steps since it changed; {} without one."""
        return self.scaler.state_dict() if self.scaler else {}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        if self.scaler and state:
            self.scaler.load_state_dict(state)
