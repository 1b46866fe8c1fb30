"""The cost and memory of a backbone: computed from its graph if it has a closed form, measured for a timm model.

Imports NumPy and `arch`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from scalesearch.arch.backbone import EfficientNet, TimmBackbone
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost import efficientnet
from scalesearch.cost.dimensions import at_each
from scalesearch.cost.graph import ONE, Graph
from scalesearch.cost.liveness import kept, peaks
from scalesearch.cost.terms import Sums, TermTable, of_map, over, sums

OPEN, WHOLE = 0, sys.maxsize
"""The most blocks of a stage in a graph. OPEN: their number is a symbol. WHOLE: all of them."""


class ClosedForm(NamedTuple):
    """The functions that unroll a kind of backbone into a graph."""

    structure: Callable[[Any, int, int], Hashable]
    """(backbone, coarsest level, most blocks of a stage) -> what determines its graph, besides values of symbols."""
    graph: Callable[[Any, range, str], Graph]
    """(structure, levels, activation) -> graph from the image to the maps of these levels; part: backbone.<module>."""
    symbols: Callable[[Any, int], Mapping[str, int]]
    """(backbone, coarsest level) -> the values of the graph's symbols; that of "" is 1."""


CLOSED_FORM: dict[type, ClosedForm] = {
    EfficientNet: ClosedForm(efficientnet.structure, efficientnet.graph, efficientnet.symbols),
}

SymbolicSize = tuple[Any, Any]
Areas = Mapping[int, Any]


def cost(spec: DetectorSpec, size: SymbolicSize, areas: Areas) -> tuple[Any, Any, Any]:
    """Return parameters, multiply-adds, activations. ValueError for a timm backbone not measured at this size."""
    if isinstance(spec.backbone, TimmBackbone):
        return _measured_cost(spec.backbone, size)
    params, macs, activations, _ = _sums(spec.backbone, spec.backbone_levels)
    return params[ONE], over(macs, areas), over(activations, areas)


def norms(spec: DetectorSpec, size: SymbolicSize) -> Any:
    """Return the channels of all batch norms. ValueError for a timm backbone without measured memory at this size."""
    if isinstance(spec.backbone, TimmBackbone):
        return _measured_memory(spec.backbone, size, "norms")
    return _sums(spec.backbone, spec.backbone_levels).norms.get(ONE, 0)


def peak(spec: DetectorSpec, size: SymbolicSize, areas: Areas) -> Any:
    """Return the largest sum of live maps in inference, in numbers. ValueError as `norms`."""
    if isinstance(spec.backbone, TimmBackbone):
        return _measured_memory(spec.backbone, size, "peak")
    found = [over(by_level, areas) for by_level in _peaks(spec.backbone, spec.backbone_levels)]
    return np.maximum.reduce(found) if any(isinstance(one, np.ndarray) for one in found) else max(found)


def kept_for_backward(spec: DetectorSpec, size: SymbolicSize, areas: Areas) -> Any:
    """Return the numbers kept for backward of one image, including it, for the stem. ValueError as `norms`."""
    if isinstance(spec.backbone, TimmBackbone):
        return _measured_memory(spec.backbone, size, "kept")
    return over(_kept(spec.backbone, spec.backbone_levels, spec.activation), areas)


# ---- closed forms ----

_ANY = "silu"
"""Any activation: neither sums nor live maps depend on it."""


@lru_cache(maxsize=4096)
def _sums(backbone: Any, levels: range) -> Sums:
    """Return the sums per position, by level."""
    form, level = CLOSED_FORM[type(backbone)], levels[-1]
    table = _sums_table(form, form.structure(backbone, level, OPEN), levels)
    return Sums(*table.by_level(form.symbols(backbone, level)))


@lru_cache(maxsize=4096)
def _peaks(backbone: Any, levels: range) -> list[dict[int, int]]:
    """Return the sums of live maps, by level. A third block needs no more memory than the second."""
    form, level = CLOSED_FORM[type(backbone)], levels[-1]
    table = _peaks_table(form, form.structure(backbone, level, 2), levels)
    return table.by_level(form.symbols(backbone, level))


@lru_cache(maxsize=4096)
def _kept(backbone: Any, levels: range, activation: str) -> dict[int, int]:
    """Return the numbers kept per position, by level."""
    form, level = CLOSED_FORM[type(backbone)], levels[-1]
    table = _kept_table(form, form.structure(backbone, level, OPEN), levels, activation)
    return table.by_level(form.symbols(backbone, level))[0]


@lru_cache(maxsize=256)
def _sums_table(form: ClosedForm, structure: Hashable, levels: range) -> TermTable:
    return TermTable(sums(form.graph(structure, levels, _ANY)))


@lru_cache(maxsize=1024)
def _peaks_table(form: ClosedForm, structure: Hashable, levels: range) -> TermTable:
    return TermTable(peaks(form.graph(structure, levels, _ANY)))


@lru_cache(maxsize=256)
def _kept_table(form: ClosedForm, structure: Hashable, levels: range, activation: str) -> TermTable:
    graph = form.graph(structure, levels, activation)
    # The readers of the output maps keep them. The image is an input, which `kept` does not count.
    found = kept(graph, others=range(len(levels)))
    found.update(of_map(graph.maps[0]))
    return TermTable([found])


# ---- measured ----


def _measured_cost(backbone: TimmBackbone, size: SymbolicSize) -> tuple[Any, Any, Any]:
    known = backbone.known

    def one(at: tuple[int, int]) -> tuple[int, int]:
        if at not in known.macs:
            sizes = ", ".join(f"{h}x{w}" for h, w in known.macs)
            raise ValueError(
                f"the backbone {backbone.name!r} was measured at {sizes or 'no size'}, not at {at[0]}x{at[1]}; "
                "call scalesearch.resolve(spec) first"
            )
        return known.macs[at], known.activations[at]

    macs, activations = at_each(one, size, 2)
    return known.params, macs, activations


def _measured_memory(backbone: TimmBackbone, size: SymbolicSize, what: str) -> Any:
    def one(at: tuple[int, int]) -> tuple[int]:
        found = backbone.known.memory.get(at)
        if found is None:
            raise ValueError(
                f"the memory of the backbone {backbone.name!r} was not measured at {at[0]}x{at[1]}, or it cannot be "
                "trained there; call scalesearch.resolve(spec), or leave memory out"
            )
        return (int(getattr(found, what)),)

    (values,) = at_each(one, size, 1)
    return values
