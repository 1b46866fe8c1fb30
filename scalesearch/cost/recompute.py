"""What a training with gradient checkpointing keeps: the inputs of its segments, and the maps of one that is run again.

The segments are those of `nn/recompute.py`: the blocks of an EfficientNet, another backbone as a whole, the cells of the
feature network, each head at each level. In the backward pass a segment's maps are made again while what was kept before
it is still there; what comes after it is gone. Imports NumPy and `arch`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from scalesearch.arch.backbone import EfficientNet
from scalesearch.arch.spec import DetectorSpec
from scalesearch.arch.structure import HeadStructure, NeckStructure
from scalesearch.cost import backbones, efficientnet, network
from scalesearch.cost.graph import Map
from scalesearch.cost.liveness import kept
from scalesearch.cost.terms import FactoredTerms, Terms, TermTable, evaluate_terms, factored, of_map, over


class _Forms(NamedTuple):
    """Sums of maps of feature network and heads, over symbols."""

    pyramid: FactoredTerms
    """Kept by the laterals and levels before the first cell; its maps."""
    cells: FactoredTerms
    """The outputs of all cells."""
    first: FactoredTerms
    """Inside the first cell, with its laterals."""
    further: FactoredTerms
    """Inside any other cell."""
    tower: FactoredTerms
    """Inside a head at the finest level."""
    head: FactoredTerms
    """The outputs of a head's towers at all levels, and what its prediction keeps."""
    gradient: FactoredTerms
    """The focal loss computes its gradient in the forward pass, in float32, and keeps it (`nn/losses.py`)."""


def kept_numbers(
    spec: DetectorSpec,
    size: tuple[Any, Any],
    areas: Mapping[int, Any],
    symbols: Mapping[str, Any],
    *,
    frozen: bool,
    half: bool,
) -> Any:
    """Return the most numbers kept at once for backward of one image. `frozen`: the whole backbone is.

    With `half`, a number has two bytes. ValueError as `backbones.kept_for_backward`.
    """
    forms = _forms(spec.neck, spec.heads, half)
    parts = _Forms(*(evaluate_terms(form, areas, symbols) for form in forms))
    maps = sum(spec.backbone.channels(level) * areas[level] for level in spec.backbone_levels)
    before, inside = _backbone(spec, size, areas, frozen=frozen, half=half)
    before = before + maps + parts.pyramid
    repeats = symbols["repeats"]
    per_cell = parts.cells // np.maximum(1, repeats)
    last = np.where(repeats > 1, parts.further, parts.first)
    at_once = (
        *inside,
        before + parts.first,
        before + parts.cells - per_cell + last,
        before + parts.cells + parts.head + parts.tower,  # the second head, beside what the first one keeps
        before + parts.cells + 2 * parts.head + parts.gradient,  # the end of the forward pass
    )
    most = at_once[0]
    for one in at_once[1:]:
        most = np.maximum(most, one)
    return most if isinstance(most, np.ndarray) and most.ndim else int(most)


def _backbone(
    spec: DetectorSpec, size: tuple[Any, Any], areas: Mapping[int, Any], *, frozen: bool, half: bool
) -> tuple[Any, list[Any]]:
    """Return what a backbone keeps beside its output maps once it has run, and at each of its segments."""
    if frozen:
        return 0, []
    image = 3 * areas[0]
    if not isinstance(spec.backbone, EfficientNet):
        whole = backbones.kept_for_backward(spec, size, areas)
        # Its maps in half a float32 each, since it was measured in float32.
        return image, [whole]
    outputs = {level: spec.backbone.channels(level) for level in spec.backbone_levels}
    rows = _block_rows(spec.backbone, spec.backbone_levels, spec.activation)
    *segments, end = [over(row, areas) for row in rows]
    return end - sum(count * areas[level] for level, count in outputs.items()), segments


@lru_cache(maxsize=4096)
def _block_rows(backbone: EfficientNet, levels: range, activation: str) -> list[dict[int, int]]:
    """Return by level the numbers at each block of an EfficientNet, the image included, and after the last one."""
    structure = efficientnet.structure(backbone, levels[-1], 2)
    stages = backbone.cut(levels[-1])
    stem, blocks = efficientnet.segments(structure, activation)
    before = kept(stem, others=[0])
    before.update(of_map(stem.maps[0]))
    found: list[Terms] = []
    for stage, graphs in zip(stages, blocks, strict=True):
        for i, graph in enumerate(graphs):
            made = of_map(graph.maps[graph.outputs[0]])
            for _ in range(stage.repeats - 2 if i == 1 else 0):  # all further blocks; the last one is the largest
                before.update(made)
            found.append(before + kept(graph))
            before.update(made)
    symbols = efficientnet.symbols(backbone, levels[-1])
    return TermTable([*found, before]).by_level(symbols)


@lru_cache(maxsize=4096)
def _forms(neck: NeckStructure, heads: HeadStructure, half: bool) -> _Forms:
    pyramid = network.neck(neck, 0)
    pyramid_kept = kept(pyramid.flat(), others=range(len(pyramid.outputs)), half=half)
    first, further = (kept(network.cell(neck, first=one).flat(), half=half) for one in (True, False))
    cells, inside = Terms(), kept(network.tower(heads), half=half)
    gradient = of_map(Map(tuple(heads.levels), 1, "class"), count=2 if half else 1)
    for node in neck.topology.outputs:
        if node >= len(heads.levels):
            cells.update(of_map(Map((neck.topology.level_of(node),), 1, "width"), "repeats"))
    return _Forms(*(factored(one) for one in (pyramid_kept, cells, first, further, inside, _head(heads), gradient)))


def _head(structure: HeadStructure) -> Terms:
    """Return what a head keeps besides the insides of its towers."""
    found, levels = Terms(), tuple(structure.levels)
    for level in levels:
        found.update(of_map(Map((level,), 1, "head"), "some"))
    if structure.separable:
        found.update(of_map(Map(levels, 1, "last")))
    return found
