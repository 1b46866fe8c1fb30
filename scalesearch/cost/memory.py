"""How much memory a detector needs, by arithmetic: in inference, and in training. Standard library, NumPy and arch.

Everything is float32. What is live and what is kept is said in `liveness.py`; the operations are those of nn/, in its
order. A resampling between maps that have the same few pixels at a tiny input, which nn/ leaves out, is counted.
Every formula holds for NumPy arrays of sizes, widths and depths as it does for integers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalesearch.arch.backbone import BackboneMemory, EfficientNet, TimmBackbone
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.dimensions import at_each, dimensions_of, grid
from scalesearch.cost.liveness import ONE, Held, Tape, amount
from scalesearch.cost.price import price, price_grid, squeeze
from scalesearch.cost.wiring import Wiring, wire

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
    return int(BYTES * _peak(spec, *dimensions_of(spec)))


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
    (peaks,) = grid(base, given, lambda spec, dimensions: [BYTES * _peak(spec, *dimensions)])
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


def _inference(spec: DetectorSpec, params: Any, dimensions: tuple[Any, ...]) -> Any:
    return BYTES * (params + 2 * _norms(spec, *dimensions) + _peak(spec, *dimensions))


def _training(spec: DetectorSpec, params: Any, dimensions: tuple[Any, ...], training: Training) -> Any:
    # Of each norm's channel: mean and variance, those of the average, and what its backward keeps of the batch.
    statistics = 2 * (2 + training.average) * _norms(spec, *dimensions)
    kept = _kept(spec, *dimensions)
    return BYTES * (training.copies * params + statistics + training.batch * kept)


# ---- the whole detector ----


def _peak(spec: DetectorSpec, size: Any, width: Any, head_width: Any, repeats: Any, depth: Any, per_cell: Any) -> Any:
    areas, units = _areas(spec, size), _units(spec, width, head_width, per_cell)
    peak = _backbone_peak(spec, size, areas)
    for wiring, here in _variants(spec, width, repeats, depth):
        most: Any = 0
        for terms in wire(wiring).peaks:
            most = _maximum(most, amount(terms, areas, units))
        peak = _maximum(peak, most if here is True else np.where(here, most, 0))
    return peak


def _variants(spec: DetectorSpec, width: Any, repeats: Any, depth: Any) -> list[tuple[Wiring, Any]]:
    """The wirings among the dimensions, each with where it is.

    A third cell or convolution of a tower holds what the second does.
    """
    cells, tower = _minimum(repeats, 2), _minimum(depth, 2)
    projected = [
        spec.lateral_at_equal_width | (spec.backbone.channels(level) != width) for level in spec.backbone_levels
    ]
    if isinstance(cells, int) and isinstance(tower, int) and not isinstance(width, np.ndarray):
        return [(_wiring(spec, tuple(map(bool, projected)), cells, tower), True)]
    found = []
    for flags in product(*(np.unique(flag).tolist() for flag in projected)):
        for some in np.unique(cells).tolist():
            for most in np.unique(tower).tolist():
                here: Any = (cells == some) & (tower == most)
                for flag, value in zip(projected, flags, strict=True):
                    here = here & (flag == value)
                if np.any(here):
                    found.append((_wiring(spec, flags, some, most), here))
    return found


def _kept(spec: DetectorSpec, size: Any, width: Any, head_width: Any, repeats: Any, depth: Any, per_cell: Any) -> Any:
    """Numbers kept for each image."""
    areas, units = _areas(spec, size), _units(spec, width, head_width, per_cell)
    kept = _over(spec, "kept", areas, units, width, repeats, depth)
    return _backbone_kept(spec, size, areas) + kept


def _norms(spec: DetectorSpec, size: Any, width: Any, head_width: Any, repeats: Any, depth: Any, per_cell: Any) -> Any:
    """Channels of all batch norms."""
    areas, units = {ONE: 1}, _units(spec, width, head_width, per_cell)
    own = _backbone_norms(spec, size)
    return own + _over(spec, "norms", areas, units, width, repeats, depth)


def _over(spec: DetectorSpec, what: str, areas: Any, units: Any, width: Any, repeats: Any, depth: Any) -> Any:
    """A sum over all operations of neck and heads, which grows evenly with the second cell and convolution."""
    total: Any = 0
    for wiring, here in _variants(spec, width, repeats * 0 + 1, depth * 0 + 1):

        def at(cells: int, tower: int, wiring: Wiring = wiring) -> Any:
            held = wire(dataclasses.replace(wiring, cells=cells, tower=tower))
            return amount(getattr(held, what), areas, units)

        bare, one, two, other = at(1, 0), at(1, 1), at(1, 2), at(2, 1)
        some = np.minimum(depth, 1) if isinstance(depth, np.ndarray) else min(depth, 1)
        value = bare + some * (one - bare) + some * (depth - 1) * (two - one) + (repeats - 1) * (other - one)
        total = total + (value if here is True else np.where(here, value, 0))
    return total


def _wiring(spec: DetectorSpec, projected: tuple[bool, ...], cells: int, tower: int) -> Wiring:
    return Wiring(
        topology=spec.topology,
        backbone_levels=spec.backbone_levels,
        projected=projected,
        laterals=spec.laterals,
        extra_levels=spec.extra_levels,
        down=spec.down,
        activation=spec.activation,
        act_first=spec.order == "act_conv_norm",
        separable=spec.separable,
        cells=cells,
        tower=tower,
    )


def _areas(spec: DetectorSpec, size: Any) -> dict[int, Any]:
    levels = range(max(spec.levels[-1], spec.backbone_levels[-1]) + 1)
    return {ONE: 1} | {level: (-(-size[0] >> level)) * (-(-size[1] >> level)) for level in levels}


def _units(spec: DetectorSpec, width: Any, head_width: Any, per_cell: Any) -> dict[str, Any]:
    raw = {f"raw{level}": spec.backbone.channels(level) for level in spec.backbone_levels}
    return {"": 1, "width": width, "head": head_width, "class": per_cell * spec.classes, "box": per_cell * 4} | raw


def _maximum(a: Any, b: Any) -> Any:
    arrays = isinstance(a, np.ndarray) or isinstance(b, np.ndarray)
    return np.maximum(a, b) if arrays else max(a, b)


def _minimum(a: Any, b: int) -> Any:
    return np.minimum(a, b) if isinstance(a, np.ndarray) else min(int(a), b)


# ---- the backbone ----


def _backbone_peak(spec: DetectorSpec, size: Any, areas: Mapping[int, Any]) -> Any:
    if isinstance(spec.backbone, TimmBackbone):
        return _measured(spec.backbone, size, "peak")
    peak: Any = 0
    for terms in _efficientnet(spec.backbone, spec.backbone_levels, spec.activation).peaks:
        peak = _maximum(peak, amount(terms, areas, {"": 1}))
    return peak


def _backbone_kept(spec: DetectorSpec, size: Any, areas: Mapping[int, Any]) -> Any:
    if isinstance(spec.backbone, TimmBackbone):
        return _measured(spec.backbone, size, "kept")
    return amount(_efficientnet(spec.backbone, spec.backbone_levels, spec.activation).kept, areas, {"": 1})


def _backbone_norms(spec: DetectorSpec, size: Any) -> Any:
    if isinstance(spec.backbone, TimmBackbone):
        return _measured(spec.backbone, size, "norms")
    return amount(_efficientnet(spec.backbone, spec.backbone_levels, spec.activation).norms, {ONE: 1}, {"": 1})


def _measured(backbone: TimmBackbone, size: Any, what: str) -> Any:
    def one(at: tuple[int, int]) -> tuple[int]:
        found = backbone.known.memory.get(at)
        if found is None:
            raise ValueError(
                f"the memory of the backbone {backbone.name!r} was not measured at {at[0]}x{at[1]}, or it cannot be "
                "trained there; call scalesearch.resolve(spec), or leave memory out"
            )
        assert isinstance(found, BackboneMemory)
        return (int(getattr(found, what)),)

    (values,) = at_each(one, size, 1)
    return values


@lru_cache(maxsize=1024)
def _efficientnet(backbone: EfficientNet, levels: range, activation: str) -> Held:
    """timm's blocks as nn/backbone.py puts them together."""
    tape = Tape()
    image = tape.start({(0, ""): 3})
    x = tape.act(tape.norm(tape.conv(image, {(1, ""): backbone.stem})), activation)
    level, c_in, outputs = 1, backbone.stem, {}
    tape.extra[0, ""] += 3  # the image itself, kept by the stem
    for stage in backbone.cut(levels[-1]):
        for i in range(stage.repeats):
            stride = stage.stride if i == 0 else 1
            before, shortcut = level, x
            level += stride == 2
            middle = c_in * stage.expansion
            if stage.expansion != 1:
                x = tape.act(tape.norm(tape.conv(x, {(before, ""): middle})), activation)
            x = tape.act(tape.norm(tape.conv(x, {(level, ""): middle})), activation)
            if not backbone.lite:
                x = _excite(tape, x, middle, squeeze(c_in), activation)
            x = tape.norm(tape.conv(x, {(level, ""): stage.channels}))
            if stride == 1 and c_in == stage.channels:
                x = tape.op(x, shortcut, pointwise=True)
            c_in = stage.channels
        outputs[level] = x
    maps = [outputs[level] for level in levels]
    return tape.held(maps, keeps=maps)


def _excite(tape: Tape, x: int, middle: int, squeezed: int, activation: str) -> int:
    """Squeeze and excitation: its vectors are the pooled map, two inside (one where written in place), the gate."""
    inside = 1 if activation == "relu" else 2
    tape.extra[ONE, ""] += 2 * middle + inside * squeezed
    return tape.op(x, pointwise=True, keeps=[x])
