"""The memory of a detector in inference and in training, by arithmetic. Imports NumPy and `arch`.

Everything is float32, but for maps of a training in half precision. The rules of what is live and what is kept are in `liveness.py`; the operators are those of
`network.py` and `backbones.py`. Resamplings between maps of equal size (at tiny inputs) are counted, though `nn/` has
none. Every formula holds for integers and for NumPy arrays of sizes, widths and depths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalesearch.arch.backbone import TimmBackbone
from scalesearch.arch.spec import DetectorSpec
from scalesearch.arch.structure import HeadStructure, NeckStructure
from scalesearch.cost import backbones, network
from scalesearch.cost.dimensions import Dimensions, dimensions_of, grid
from scalesearch.cost.graph import ONE
from scalesearch.cost.liveness import kept, peaks
from scalesearch.cost.price import areas_of, head_sums, neck_sums, price, price_grid, symbols_of
from scalesearch.cost.recompute import kept_numbers
from scalesearch.cost.terms import FactoredTerms, Terms, evaluate_terms, factored, of_map, times_symbol

BYTES = 4
"""The size of a float32."""
HALF = 2
"""The size of a bfloat16 or float16."""


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """The training settings that memory depends on. ValueError for an unknown optimiser or a batch below 1."""

    batch: int = 8
    optimizer: str = "adamw"
    momentum: bool = True
    """Whether SGD has momentum."""
    average: bool = True
    """Whether averaged weights are held, too (`training/ema.py` always holds them)."""
    frozen: bool = False
    """Whether the whole backbone is frozen. Of one that is frozen up to a stage the memory lies between the two."""
    half: bool = False
    """Whether maps are in bfloat16 or float16, by a recipe's precision; weights, gradients and states never are."""
    checkpointing: bool = False
    """Whether maps are made again in the backward pass."""

    def __post_init__(self) -> None:
        if self.optimizer not in ("adamw", "sgd") or self.batch < 1:
            raise ValueError(
                f"training memory is of adamw or sgd at a batch of at least 1, but got {self.optimizer!r}, {self.batch}"
            )

    @property
    def copies(self) -> int:
        """Numbers held for each parameter: weight, gradient, optimiser states, average."""
        states = 2 if self.optimizer == "adamw" else int(self.momentum)
        return 2 + states + self.average


def peak_activations(spec: DetectorSpec) -> int:
    """Return the bytes of the largest sum of live maps for one image. ValueError as `inference_memory`."""
    return int(BYTES * _peak(spec, dimensions_of(spec)))


def inference_memory(spec: DetectorSpec) -> int:
    """Return the bytes of weights, batch-norm statistics and peak activations, for one image.

    ValueError for a timm backbone whose memory was not measured at this size.
    """
    return int(_inference(spec, price(spec).params, dimensions_of(spec)))


def training_memory(spec: DetectorSpec, training: TrainingSettings) -> int:
    """Return the bytes of weights, gradients, optimiser, averaged weights, statistics, and maps kept for backward.

    Temporary memory of a step (of the loss, workspaces) is not counted. With checkpointing the maps are the most that are
    kept at once (`recompute.py`). In half precision kernels are kept in it, too; a timm backbone, which was measured in
    float32, counts half of that. ValueError as `inference_memory`.
    """
    return int(_training(spec, price(spec).params, dimensions_of(spec), training))


def peak_grid(base: DetectorSpec, **given: Any) -> NDArray[np.int64]:
    """Return `peak_activations` over a grid, with the arguments of `price_grid`."""
    (peaks,) = grid(base, given, lambda spec, dimensions: [BYTES * _peak(spec, dimensions)])
    return peaks


def memory_grid(base: DetectorSpec, **given: Any) -> NDArray[np.int64]:
    """Return `inference_memory` over a grid, with the arguments of `price_grid`."""
    params = price_grid(base, **given).params
    (rest,) = grid(base, given, lambda spec, dimensions: [_inference(spec, 0, dimensions)])
    return BYTES * params + rest


def training_memory_grid(base: DetectorSpec, training: TrainingSettings, **given: Any) -> NDArray[np.int64]:
    """Return `training_memory` over a grid, with the arguments of `price_grid`."""
    params = price_grid(base, **given).params
    (rest,) = grid(base, given, lambda spec, dimensions: [_training(spec, 0, dimensions, training)])
    return _of_parameters(training) * params + rest


def _inference(spec: DetectorSpec, params: Any, dimensions: Dimensions) -> Any:
    return BYTES * (params + 2 * _norms(spec, dimensions) + _peak(spec, dimensions))


def _of_parameters(training: TrainingSettings) -> int:
    """Return the bytes held for each parameter; in half precision autograd keeps a copy of each kernel.

    With checkpointing a copy goes with its segment.
    """
    return BYTES * training.copies + (HALF if training.half and not training.checkpointing else 0)


def _training(spec: DetectorSpec, params: Any, dimensions: Dimensions, training: TrainingSettings) -> Any:
    norms, each = _norms(spec, dimensions), _of_parameters(training)
    # Each channel of a norm has mean and variance, those of the average, and those of the batch, kept for backward.
    held = each * params + BYTES * 2 * (2 + training.average) * norms
    held += training.batch * (HALF if training.half else BYTES) * _kept(spec, dimensions, training)
    held -= 2 * (each - BYTES * training.copies) * norms  # scale and shift of a norm are no kernel
    whole = training.half and training.checkpointing and isinstance(spec.backbone, TimmBackbone)
    if not (training.frozen or whole):
        return held
    own, _, _ = backbones.cost(spec, dimensions[0], areas_of(spec, dimensions[0]))
    fixed = backbones.norms(spec, dimensions[0])
    if training.frozen:  # weights, average and statistics alone
        held -= (each - BYTES * (1 + training.average)) * own + BYTES * 2 * fixed
        held += 2 * (each - BYTES * training.copies) * fixed
    else:
        held += HALF * (own - 2 * fixed)  # as a whole it is one segment
    return held


# ---- the whole detector ----


def _peak(spec: DetectorSpec, dimensions: Dimensions) -> Any:
    """Return the largest sum of live maps, in numbers."""
    areas, symbols = areas_of(spec, dimensions[0]), symbols_of(spec, dimensions)
    most = backbones.peak(spec, dimensions[0], areas)
    for forms, here in _variants(spec, dimensions, symbols):
        found: Any = 0
        for form in forms:
            found = _maximum(found, evaluate_terms(form, areas, symbols))
        most = _maximum(most, found if here is True else np.where(here, found, 0))
    return most


def _variants(
    spec: DetectorSpec, dimensions: Dimensions, symbols: Mapping[str, Any]
) -> list[tuple[tuple[FactoredTerms, ...], Any]]:
    """Return the distinct networks among the dimensions: the sums of live maps of each, and where it occurs.

    A third cell or convolution of a head needs no more memory than the second.
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
) -> tuple[FactoredTerms, ...]:
    """Return the sums of maps that are live at once in feature network and heads."""
    return tuple(map(factored, peaks(network.heads(heads, network.neck(neck, cells, projected), depth))))


def _kept(spec: DetectorSpec, dimensions: Dimensions, training: TrainingSettings) -> Any:
    """Return the numbers kept for each image; of a frozen backbone its maps, which their readers keep."""
    size, half, frozen = dimensions[0], training.half, training.frozen
    areas, symbols = areas_of(spec, size), symbols_of(spec, dimensions)
    if training.checkpointing:
        return kept_numbers(spec, size, areas, symbols, frozen=frozen, half=half)
    if frozen:
        own = sum(spec.backbone.channels(level) * areas[level] for level in spec.backbone_levels)
    else:
        own = backbones.kept_for_backward(spec, size, areas)
    return own + evaluate_terms(_kept_form(spec.neck, spec.heads, half), areas, symbols)


@lru_cache(maxsize=4096)
def _kept_form(neck: NeckStructure, heads: HeadStructure, half: bool) -> FactoredTerms:
    """Return the numbers that feature network and heads keep. A cell's depend on its reader, another cell or a head."""
    # Every further cell keeps what the second adds.
    one, two = (_kept_terms(neck, heads, cells, half) for cells in (1, 2))
    two.subtract(one)
    for term, count in two.items():
        one[term] -= count
        one[times_symbol(term, "repeats")] += count
    return factored(one)


def _kept_terms(neck: NeckStructure, heads: HeadStructure, cells: int, half: bool) -> Terms:
    graph = network.heads(heads, network.neck(neck, cells), None)
    found = kept(graph, half=half)
    # The focal loss computes its gradient in the forward pass, in float32, and keeps it (`nn/losses.py`).
    found.update(of_map(graph.maps[graph.outputs[0]], count=2 if half else 1))
    return found


def _norms(spec: DetectorSpec, dimensions: Dimensions) -> Any:
    """Return the channels of all batch norms."""
    areas, symbols = {ONE: 1}, symbols_of(spec, dimensions)
    parts = neck_sums(spec.neck), head_sums(spec.heads, "class", "box")
    return backbones.norms(spec, dimensions[0]) + sum(evaluate_terms(part.norms, areas, symbols) for part in parts)


def _maximum(a: Any, b: Any) -> Any:
    arrays = isinstance(a, np.ndarray) or isinstance(b, np.ndarray)
    return np.maximum(a, b) if arrays else max(a, b)


def _minimum(a: Any, b: int) -> Any:
    return np.minimum(a, b) if isinstance(a, np.ndarray) else min(int(a), b)
