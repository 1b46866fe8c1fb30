"""What a backbone costs and holds: one with a closed form as a fold over its graph, a timm model as it was measured.

Standard library, NumPy and arch.
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
from scalesearch.cost.terms import Sums, Table, of_map, over, sums

OPEN, WHOLE = 0, sys.maxsize
"""Blocks of a stage that a graph has at most: left open, their number is a symbol; as many as there are."""


class ClosedForm(NamedTuple):
    """How a kind of backbone is unrolled."""

    structure: Callable[[Any, int, int], Hashable]
    """(backbone, coarsest level, most blocks of a stage) -> what decides its graph, whatever the symbols stand for."""
    graph: Callable[[Any, range, str], Graph]
    """(structure, levels, activation) -> a graph from the image to the maps of these levels; part: backbone.<module>."""
    symbols: Callable[[Any, int], Mapping[str, int]]
    """(backbone, coarsest level) -> what the symbols of the graph stand for; "" for 1."""


CLOSED_FORM: dict[type, ClosedForm] = {
    EfficientNet: ClosedForm(efficientnet.structure, efficientnet.graph, efficientnet.symbols),
}

Size = tuple[Any, Any]
Areas = Mapping[int, Any]


def cost(spec: DetectorSpec, size: Size, areas: Areas) -> tuple[Any, Any, Any]:
    """Parameters, multiply-adds, activations. ValueError for a timm backbone not measured at this size."""
    if isinstance(spec.backbone, TimmBackbone):
        return _measured_cost(spec.backbone, size)
    params, macs, activations, _ = _sums(spec.backbone, spec.backbone_levels)
    return params[ONE], over(macs, areas), over(activations, areas)


def norms(spec: DetectorSpec, size: Size) -> Any:
    """Channels of batch norms. ValueError for a timm backbone whose memory was not measured at this size."""
    if isinstance(spec.backbone, TimmBackbone):
        return _measured_memory(spec.backbone, size, "norms")
    return _sums(spec.backbone, spec.backbone_levels).norms.get(ONE, 0)


def peak(spec: DetectorSpec, size: Size, areas: Areas) -> Any:
    """The largest sum of live maps in inference, in numbers. ValueError as `norms`."""
    if isinstance(spec.backbone, TimmBackbone):
        return _measured_memory(spec.backbone, size, "peak")
    found = [over(by_level, areas) for by_level in _peaks(spec.backbone, spec.backbone_levels)]
    return np.maximum.reduce(found) if any(isinstance(one, np.ndarray) for one in found) else max(found)


def kept_for_backward(spec: DetectorSpec, size: Size, areas: Areas) -> Any:
    """Numbers kept for backward of one image, the image too, which the stem keeps. ValueError as `norms`."""
    if isinstance(spec.backbone, TimmBackbone):
        return _measured_memory(spec.backbone, size, "kept")
    return over(_kept(spec.backbone, spec.backbone_levels, spec.activation), areas)


# ---- closed forms ----

_ANY = "silu"
"""Neither sums nor what is live depend on the activation."""


@lru_cache(maxsize=4096)
def _sums(backbone: Any, levels: range) -> Sums:
    """By level, at each position."""
    form, level = CLOSED_FORM[type(backbone)], levels[-1]
    table = _sums_table(form, form.structure(backbone, level, OPEN), levels)
    return Sums(*table.by_level(form.symbols(backbone, level)))


@lru_cache(maxsize=4096)
def _peaks(backbone: Any, levels: range) -> list[dict[int, int]]:
    """The sums of live maps, by level. A third block holds what the second does."""
    form, level = CLOSED_FORM[type(backbone)], levels[-1]
    table = _peaks_table(form, form.structure(backbone, level, 2), levels)
    return table.by_level(form.symbols(backbone, level))


@lru_cache(maxsize=4096)
def _kept(backbone: Any, levels: range, activation: str) -> dict[int, int]:
    """By level."""
    form, level = CLOSED_FORM[type(backbone)], levels[-1]
    table = _kept_table(form, form.structure(backbone, level, OPEN), levels, activation)
    return table.by_level(form.symbols(backbone, level))[0]


@lru_cache(maxsize=256)
def _sums_table(form: ClosedForm, structure: Hashable, levels: range) -> Table:
    return Table(sums(form.graph(structure, levels, _ANY)))


@lru_cache(maxsize=1024)
def _peaks_table(form: ClosedForm, structure: Hashable, levels: range) -> Table:
    return Table(peaks(form.graph(structure, levels, _ANY)))


@lru_cache(maxsize=256)
def _kept_table(form: ClosedForm, structure: Hashable, levels: range, activation: str) -> Table:
    graph = form.graph(structure, levels, activation)
    # Those who read the maps keep them; the image is an input, which `kept` leaves aside.
    found = kept(graph, others=range(len(levels)))
    found.update(of_map(graph.maps[0]))
    return Table([found])


# ---- measured ----


def _measured_cost(backbone: TimmBackbone, size: Size) -> tuple[Any, Any, Any]:
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


def _measured_memory(backbone: TimmBackbone, size: Size, what: str) -> Any:
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
