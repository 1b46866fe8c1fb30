"""The averages in an epoch's log line: losses over its steps, images per second. Imports torch and nn."""

from __future__ import annotations

import torch
from torch import Tensor

from scalesearch.nn.losses import Losses
from scalesearch.training.distributed import ALONE, Team


class EpochAverages:
    """Sums over an epoch's steps so far, kept on the device, so that no step waits for them."""

    def __init__(self, device: torch.device) -> None:
        self._sums = torch.zeros(3, device=device)
        self._steps = self._images = 0

    def add(self, losses: Losses, images: int) -> None:
        """Add a step of `images` images."""
        self._sums += torch.stack([losses.total.detach(), losses.class_.detach(), losses.box.detach()]).float()
        self._steps, self._images = self._steps + 1, self._images + images

    def finish(self, rate: float, seconds: float, team: Team = ALONE) -> dict[str, float]:
        """Return the epoch's averages for the log and reset; `seconds` is the epoch's training time."""
        loss, class_loss, box_loss = (team.mean(self._sums) / max(1, self._steps)).tolist()
        means = {"learning_rate": rate, "loss": loss, "class_loss": class_loss, "box_loss": box_loss}
        means["images_per_second"] = self._images * team.world / seconds if seconds > 0 else 0.0
        self._sums.zero_()
        self._steps = self._images = 0
        return means

    def state(self) -> Tensor:
        """Return the sums [5], for a checkpoint within an epoch."""
        return torch.tensor([*self._sums.tolist(), self._steps, self._images], dtype=torch.float64)

    def restore(self, state: Tensor) -> None:
        """Restore what `state` returned."""
        self._sums.copy_(state[:3])
        self._steps, self._images = int(state[3]), int(state[4])
