"""Comparison of a price with fvcore's trace of the built module, entry by entry. May import arch, cost, nn, torch,
timm, fvcore."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from timm.layers.config import set_fused_attn, use_fused_attn

from scalesearch.arch.backbone import TimmBackbone
from scalesearch.arch.operator import Operator
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.operators import modules, operators
from scalesearch.nn.detector import build
from scalesearch.nn.memory_limit import check_inference

COUNTED = ("conv", "linear", "matmul", "bmm", "addmm", "baddbmm", "einsum")
"""fvcore's names of operators with multiply-adds by our convention; norms and resizing are left out of its total."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One module's multiply-adds at batch 1."""

    name: str
    priced: int
    counted: int
    unused: int = 0
    """Part of `priced` in nodes that nothing reads: the module runs them, a trace drops them."""

    @property
    def agrees(self) -> bool:
        """Whether the two are equal, apart from `unused`."""
        return self.priced - self.unused == self.counted


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A detector's entries, and the operators that the tracer counts differently."""

    entries: tuple[Entry, ...]
    left_out: tuple[str, ...]
    """Operators that fvcore counts and our convention does not."""
    uncounted: tuple[str, ...]
    """Operators that fvcore has no rule for, each with its number of occurrences."""

    @property
    def agrees(self) -> bool:
        """Whether every entry agrees."""
        return all(entry.agrees for entry in self.entries)


def compare_with_fvcore(spec: DetectorSpec) -> Comparison:
    """Build a detector, trace it with fvcore on an image of its size, and compare the counts with the price.

    The trace runs on real tensors: it takes seconds, and the memory of one forward pass. ValueError for a backbone that
    cannot be used or was not measured.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
        from fvcore.nn import FlopCountAnalysis

    check_inference(spec, 1)
    with _plain_attention():
        detector = build(spec).eval()
    # With gradients on, the trace would keep every activation.
    with torch.no_grad():
        analysis = FlopCountAnalysis(detector, torch.zeros(1, 3, *spec.size))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        by_module = analysis.by_module_and_operator()
        other, totals = analysis.unsupported_ops(), analysis.by_operator()
    entries = tuple(_entry(name, rows, by_module) for name, rows in _priced(spec))
    return Comparison(
        entries=entries,
        left_out=tuple(sorted(name for name in totals if name not in COUNTED)),
        uncounted=tuple(f"{name.removeprefix('aten::')} {count}" for name, count in sorted(other.items())),
    )


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Build timm's models with plain matrix products for attention: fvcore has no rule for the fused operator."""
    fused, experimental = use_fused_attn(), use_fused_attn(experimental=True)
    set_fused_attn(False)
    try:
        yield
    finally:
        set_fused_attn(fused, experimental)


def _priced(spec: DetectorSpec) -> list[tuple[str, tuple[Operator, ...]]]:
    """Return operators by module name: an EfficientNet backbone by its modules, all other parts whole."""
    rows = operators(spec)
    parts = ["backbone", "neck", "class_head", "box_head"]
    found: list[tuple[str, tuple[Operator, ...]]] = []
    if not isinstance(spec.backbone, TimmBackbone):
        found = [(f"backbone.{name}", some) for name, some in modules(spec)]
        parts = parts[1:]
    return found + [(part, tuple(row for row in rows if row.part == part)) for part in parts]


def _entry(name: str, rows: tuple[Operator, ...], by_module: Mapping[str, Mapping[str, float]]) -> Entry:
    counts = by_module.get(name, {})
    return Entry(
        name=name,
        priced=sum(row.macs for row in rows),
        counted=int(sum(counts.get(operator, 0) for operator in COUNTED)),
        unused=sum(row.macs for row in rows if not row.live),
    )
