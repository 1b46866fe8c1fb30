"""How much memory a detector needs, by arithmetic: in inference, and in training. Standard library, NumPy and arch.

Everything is float32. What is live and what is kept is said in `liveness.py`; the operators are those of `network.py`
and `backbones.py`. A resampling between maps that have the same few pixels at a tiny input, which nn/ leaves out, is counted.
Every formula holds for NumPy arrays of sizes, widths and depths as it does for integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalesearch.arch.spec import DetectorSpec
from scalesearch.arch.structure import HeadStructure, NeckStructure
from scalesearch.cost import backbones, network
from scalesearch.cost.dimensions import Dimensions, dimensions_of, grid
from scalesearch.cost.graph import ONE
from scalesearch.cost.liveness import kept, peaks
from scalesearch.cost.price import areas_of, head_sums, neck_sums, price, price_grid, symbols_of
from scalesearch.cost.terms import Form, Terms, evaluate, factored, of_map

BYTES = 4
"""Of a float32."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a detector is trained, as far as memory goes. ValueError for an optimiser that there is not."""

    batch: int = 8
    optimizer: str = "adamw"
    momentum: bool = True
    """Whether SGD has any."""
    average: bool = True
    """Whether averaged weights are held beside (training/ema.py holds them always)."""

    def __post_init__(self) -> None:
        if self.optimizer not in ("adamw", "sgd") or self.batch < 1:
            raise ValueError(
                f"training memory is of adamw or sgd at a batch of at least 1, but got {self.optimizer!r}, {self.batch}"
            )

    @property
    def copies(self) -> int:
        """Numbers held for each parameter: weight, gradient, the optimiser's, the average's."""
        states = 2 if self.optimizer == "adamw" else int(self.momentum)
        return 2 + states + self.average


def peak_activations(spec: DetectorSpec) -> int:
    """Bytes of the largest sum of live maps while one image passes. ValueError as `inference_memory`."""
    return int(BYTES * _peak(spec, dimensions_of(spec)))


def inference_memory(spec: DetectorSpec) -> int:
    """Bytes of weights, batch-norm statistics and peak activations, for one image.

    ValueError for a timm backbone whose memory was not measured at this size.
    """
    return int(_inference(spec, price(spec).params, dimensions_of(spec)))


def training_memory(spec: DetectorSpec, training: Training) -> int:
    """Bytes of weights, gradients, optimiser, averaged weights, statistics, and of the maps kept for backward.

    Without the step's passing needs (the loss's temporaries, workspaces) and without gradient checkpointing, which
    about halves the maps. ValueError as `inference_memory`.
    """
    return int(_training(spec, price(spec).params, dimensions_of(spec), training))


def peak_grid(base: DetectorSpec, **given: Any) -> NDArray[np.int64]:
    """`peak_activations` over a grid of what `cost.price_grid` takes."""
    (peaks,) = grid(base, given, lambda spec, dimensions: [BYTES * _peak(spec, dimensions)])
    return peaks


def memory_grid(base: DetectorSpec, **given: Any) -> NDArray[np.int64]:
    """`inference_memory` over a grid of what `cost.price_grid` takes."""
    params = price_grid(base, **given).params
    (rest,) = grid(base, given, lambda spec, dimensions: [_inference(spec, 0, dimensions)])
    return BYTES * params + rest


def training_memory_grid(base: DetectorSpec, training: Training, **given: Any) -> NDArray[np.int64]:
    """`training_memory` over a grid of what `cost.price_grid` takes."""
    params = price_grid(base, **given).params
    (rest,) = grid(base, given, lambda spec, dimensions: [_training(spec, 0, dimensions, training)])
    return BYTES * training.copies * params + rest


def _inference(spec: DetectorSpec, params: Any, dimensions: Dimensions) -> Any:
    return BYTES * (params + 2 * _norms(spec, dimensions) + _peak(spec, dimensions))


def _training(spec: DetectorSpec, params: Any, dimensions: Dimensions, training: Training) -> Any:
    # Of each norm's channel: mean and variance, those of the average, and what its backward keeps of the batch.
    statistics = 2 * (2 + training.average) * _norms(spec, dimensions)
    kept = _kept(spec, dimensions)
    return BYTES * (training.copies * params + statistics + training.batch * kept)


# ---- the whole detector ----


def _peak(spec: DetectorSpec, dimensions: Dimensions) -> Any:
    """The largest sum of live maps, in numbers."""
    areas, symbols = areas_of(spec, dimensions[0]), symbols_of(spec, dimensions)
    most = backbones.peak(spec, dimensions[0], areas)
    for forms, here in _variants(spec, dimensions, symbols):
        found: Any = 0
        for form in forms:
            found = _maximum(found, evaluate(form, areas, symbols))
        most = _maximum(most, found if here is True else np.where(here, found, 0))
    return most


def _variants(
    spec: DetectorSpec, dimensions: Dimensions, symbols: Mapping[str, Any]
) -> list[tuple[tuple[Form, ...], Any]]:
    """The networks among the dimensions, as what is live in each, with where it is.

    A third cell or convolution of a tower holds what the second does.
    """
    flags = [symbols[f"lateral{level}"] for level in spec.backbone_levels]
    choices = [*flags, _minimum(dimensions[3], 2), _minimum(dimensions[4], 2)]
    if not any(isinstance(choice, np.ndarray) for choice in choices):
        return [(_live(spec.neck, spec.heads, tuple(map(bool, flags)), *choices[-2:]), True)]
    found = []
    for values in product(*(np.unique(choice).tolist() for choice in choices)):
        here: Any = True
        for choice, value in zip(choices, values, strict=True):
            here = here & (choice == value)
        if np.any(here):
            *projected, cells, depth = values
            found.append((_live(spec.neck, spec.heads, tuple(map(bool, projected)), cells, depth), here))
    return found


@lru_cache(maxsize=4096)
def _live(
    neck: NeckStructure, heads: HeadStructure, projected: tuple[bool, ...], cells: int, depth: int
) -> tuple[Form, ...]:
    """What is live at once in feature network and heads."""
    return tuple(map(factored, peaks(network.heads(heads, network.neck(neck, cells, projected), depth))))


def _kept(spec: DetectorSpec, dimensions: Dimensions) -> Any:
    """Numbers kept for each image."""
    areas, symbols = areas_of(spec, dimensions[0]), symbols_of(spec, dimensions)
    own = backbones.kept_for_backward(spec, dimensions[0], areas)
    return own + evaluate(_kept_form(spec.neck, spec.heads), areas, symbols)


@lru_cache(maxsize=4096)
def _kept_form(neck: NeckStructure, heads: HeadStructure) -> Form:
    """Of feature network and heads. What a cell keeps depends on its reader, another cell or a head: each more is alike."""
    one, two = (_kept_terms(neck, heads, cells) for cells in (1, 2))
    two.subtract(one)
    for (level, symbols), count in two.items():
        one[level, symbols] -= count
        one[level, tuple(sorted((*symbols, "repeats")))] += count
    return factored(one)


def _kept_terms(neck: NeckStructure, heads: HeadStructure, cells: int) -> Terms:
    graph = network.heads(heads, network.neck(neck, cells), None)
    found = kept(graph)
    # The focal loss makes its gradient in the forward pass and keeps it (nn/losses.py).
    found.update(of_map(graph.maps[graph.outputs[0]]))
    return found


def _norms(spec: DetectorSpec, dimensions: Dimensions) -> Any:
    """Channels of all batch norms."""
    areas, symbols = {ONE: 1}, symbols_of(spec, dimensions)
    parts = neck_sums(spec.neck), head_sums(spec.heads, "class"), head_sums(spec.heads, "box")
    return backbones.norms(spec, dimensions[0]) + sum(evaluate(part.norms, areas, symbols) for part in parts)


def _maximum(a: Any, b: Any) -> Any:
    arrays = isinstance(a, np.ndarray) or isinstance(b, np.ndarray)
    return np.maximum(a, b) if arrays else max(a, b)


def _minimum(a: Any, b: int) -> Any:
    return np.minimum(a, b) if isinstance(a, np.ndarray) else min(int(a), b)
