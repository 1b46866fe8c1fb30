"""What modules hold, seen while they run: by hand, and against the arithmetic of memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from scalesearch.cost.memory import peak_activations
from scalesearch.nn.detector import build
from scalesearch.profile.memory_trace import backbone_memory, kept_bytes, peak_numbers
from scalesearch.profile.price_check import random_spec


def test_kept_maps_by_hand() -> None:
    block = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.SiLU(), nn.MaxPool2d(2))
    images = torch.zeros(2, 3, 8, 8)
    # The image; the maps before norm, silu and pool; the pool's int64 indices; the norm's mean and deviation.
    expected = 4 * 2 * 64 * (3 + 3 * 4) + 8 * 2 * 16 * 4 + 4 * 2 * 4
    assert kept_bytes(block, lambda: block(images)) == expected


def test_live_maps_by_hand() -> None:
    block = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
    # The first convolution has its input beside its output; norm and activation write over it.
    assert peak_numbers(block, torch.zeros(1, 3, 8, 8)) == 64 * (3 + 4)


def test_a_backbone_that_cannot_be_trained_has_no_memory() -> None:
    class Broken(nn.Module):
        def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
            raise RuntimeError("only for inference")

    assert backbone_memory(Broken(), (64, 64)) is None


@pytest.mark.parametrize("seed", range(6))
def test_the_peak_is_the_recorded_one(seed: int, tmp_path: Path) -> None:
    spec = random_spec(seed, tmp_path)
    with torch.device("meta"):
        model, images = build(spec), torch.empty(1, 3, *spec.size)
    model, images = model.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    assert peak_activations(spec) == pytest.approx(4 * peak_numbers(model, images), rel=0.01)
