"""Gradient checkpointing changes memory, and nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from scalesearch.arch.backbone import EfficientNet, TimmBackbone
from scalesearch.arch.scaling import named
from scalesearch.arch.spec import DetectorSpec
from scalesearch.nn.detector import Detector, build
from scalesearch.nn.recompute import set_recompute
from scalesearch.profile.resolve import resolve_spec
from scalesearch.training.distributed import synchronized
from scalesearch.training.evaluation import norms_of

SPEC = dataclasses.replace(
    named("d0", classes=2, size=(64, 96)), repeats=2, width=16, head_width=16, backbone=EfficientNet(width=0.25)
)


def _step(
    spec: DetectorSpec, recompute: bool, norms: Callable[[nn.Module], nn.Module] = lambda model: model
) -> tuple[list[Tensor], dict[str, Tensor], int]:
    """Gradients, the state after a step, and the bytes that were kept for its backward pass."""
    torch.manual_seed(0)
    detector = norms(build(spec).double())
    set_recompute(detector, recompute)
    kept: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        logits, deltas = detector(torch.randn(2, 3, *spec.size, dtype=torch.float64))
    (logits.sigmoid().sum() + deltas.square().sum()).backward()
    grads = [p.grad for p in detector.parameters() if p.grad is not None]
    return grads, detector.state_dict(), sum(kept.values())


@pytest.mark.parametrize("backbone", [SPEC.backbone, TimmBackbone(name="resnet18")], ids=["efficientnet", "timm"])
def test_gradients_and_statistics_are_the_same_from_less_memory(
    backbone: EfficientNet | TimmBackbone, tmp_path: Path
) -> None:
    spec = resolve_spec(dataclasses.replace(SPEC, backbone=backbone), tmp_path)
    plain, again = _step(spec, False), _step(spec, True)
    for one, other in zip(plain[0], again[0], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    for name, value in plain[1].items():
        torch.testing.assert_close(value, again[1][name], rtol=0, atol=0)
    assert again[2] < plain[2] / 3


def _cumulative(model: nn.Module) -> nn.Module:
    for norm in norms_of(model):
        norm.momentum = None
    return model


@pytest.mark.parametrize("norms", [synchronized, _cumulative])
def test_every_kind_of_norm_counts_a_batch_once(norms: Callable[[nn.Module], nn.Module]) -> None:
    """Synchronized norms, without other processes, are plain ones that insist on their statistics."""
    plain, again = _step(SPEC, False, norms), _step(SPEC, True, norms)
    for name, value in plain[1].items():
        torch.testing.assert_close(value, again[1][name], rtol=0, atol=0)
        assert not name.endswith("num_batches_tracked") or int(value) in (1, len(SPEC.levels))
    for one, other in zip(plain[0], again[0], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_it_is_off_until_it_is_asked_for() -> None:
    detector = build(SPEC)
    parts = [m for m in detector.modules() if hasattr(type(m), "recompute")]
    assert len(parts) == 4 and not any(m.recompute for m in parts)
    set_recompute(detector)
    assert all(m.recompute for m in parts)
    assert isinstance(detector, Detector) and not detector.eval()(torch.zeros(1, 3, 64, 96))[0].isnan().any()
