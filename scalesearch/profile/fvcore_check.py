"""A price against fvcore's trace of the built module, entry by entry, for anyone who asks. May import arch, nn,
torch, timm, fvcore."""

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
"""fvcore's names of what has multiply-adds by our convention; the rest of its total (norms, resizing) is left out."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One module's multiply-adds at batch 1."""

    name: str
    priced: int
    counted: int
    unused: int = 0
    """Priced, but of nodes that nothing reads: a trace drops them, the module runs them."""

    @property
    def agrees(self) -> bool:
        """Whether the two are equal, but for what nothing reads."""
        return self.priced - self.unused == self.counted


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A detector's entries, and what the tracer did otherwise."""

    entries: tuple[Entry, ...]
    left_out: tuple[str, ...]
    """What fvcore counted and our convention does not."""
    uncounted: tuple[str, ...]
    """What fvcore has no rule for, with how often it occurs."""

    @property
    def agrees(self) -> bool:
        """Whether every entry does."""
        return all(entry.agrees for entry in self.entries)


def compare(spec: DetectorSpec) -> Comparison:
    """Builds a detector, traces it with fvcore on an image of its size, and puts the counts beside the price.

    The trace is a run on real tensors: seconds, and the memory of one forward pass. ValueError for a backbone that
    cannot serve or was not measured.
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
    """timm's models built meanwhile multiply attention's matrices one by one: fvcore has no rule for the fused operator."""
    fused, experimental = use_fused_attn(), use_fused_attn(experimental=True)
    set_fused_attn(False)
    try:
        yield
    finally:
        set_fused_attn(fused, experimental)


def _priced(spec: DetectorSpec) -> list[tuple[str, tuple[Operator, ...]]]:
    """Modules by name with their operators: a closed form by its modules, timm's models whole."""
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
