"""The dimensions of a detector as integers or arrays of integers, and grids over them.

A grid has an axis for a list of topologies, one for a list of backbones, then those of the arrays, which broadcast
together. Imports NumPy and `arch`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scalesearch.arch.spec import LIMITS, DetectorSpec

Integers = int | NDArray[np.int64]
Dimensions = tuple[Any, ...]
"""(height, width of the image), width, head width, repeats, head depth, anchors per position: integers or arrays."""

_NAMES = ("width", "head_width", "repeats", "head_depth", "per_cell")
_LIMITS = {**LIMITS, "per_cell": (1, 10_000)}


def dimensions_of(spec: DetectorSpec) -> Dimensions:
    """Return the dimensions of a spec."""
    return spec.size, spec.width, spec.head_width, spec.repeats, spec.head_depth, spec.anchors.per_cell


def grid(
    base: DetectorSpec, given: Mapping[str, Any], metrics: Callable[[DetectorSpec, Dimensions], Sequence[Integers]]
) -> list[NDArray[np.int64]]:
    """Return each of `metrics` over the grid of `base` with the `given` dimensions replaced, as for `price_grid`.

    ValueError for values out of a spec's range, shapes that do not broadcast, and names that are no dimension.
    """
    lists = {name: given.get(name) for name in ("topology", "backbone")}
    arrays = {name: values for name, values in given.items() if name not in lists and values is not None}
    bases, axes = _structures(base, **lists)
    found: list[list[NDArray[np.int64]]] = []
    for one in bases:
        dimensions, shape = _arrays(one, arrays)
        found.append([np.broadcast_to(np.asarray(values), shape) for values in metrics(one, dimensions)])
    if not axes:
        return found[0]
    return [np.stack(parts).reshape(*axes, *parts[0].shape) for parts in zip(*found, strict=True)]


def _structures(base: DetectorSpec, topology: Any, backbone: Any) -> tuple[list[DetectorSpec], tuple[int, ...]]:
    """Return `base` with each topology and backbone, one or a list of either, and the lengths of the lists' axes."""
    bases, axes = [base], []
    for name, value in (("topology", topology), ("backbone", backbone)):
        if value is None:
            continue
        values: Sequence[Any] = value if isinstance(value, Sequence) else [value]
        if not values:
            raise ValueError(f"a list for {name} needs at least one value, but it is empty")
        bases = [dataclasses.replace(one, **{name: each}) for one in bases for each in values]
        axes += [len(values)] if values is value else []
    return bases, tuple(axes)


def _arrays(base: DetectorSpec, given: Mapping[str, Any]) -> tuple[Dimensions, tuple[int, ...]]:
    """Return all dimensions as arrays, by default those of `base`, and the shape that they broadcast to."""
    size, *others = dimensions_of(base)
    known = {"size": size, **dict(zip(_NAMES, others, strict=True))}
    if unknown := [name for name in given if name not in known]:
        raise ValueError(f"a grid is over topology, backbone, {', '.join(known)}, but got {unknown[0]!r}")
    known |= {"head_width": given["width"]} if "width" in given else {}
    sides, *rest = (known | dict(given)).values()
    height, across = (_whole("size", side) for side in _sides(sides))
    arrays = [height, across, *(_whole(name, values) for name, values in zip(_NAMES, rest, strict=True))]
    try:
        shape = np.broadcast_shapes(*(array.shape for array in arrays))
    except ValueError:
        names = ("height", "width of the image", *_NAMES)
        shapes = ", ".join(f"{name} {array.shape}" for name, array in zip(names, arrays, strict=True) if array.shape)
        raise ValueError(f"the arrays of a grid must broadcast together, but their shapes are {shapes}") from None
    return ((height, across), *arrays[2:]), shape


def _sides(size: Any) -> Iterator[Any]:
    """Return heights and widths: the two of a tuple; anything else has the sides of squares."""
    if isinstance(size, tuple) and len(size) != 2:
        raise ValueError(
            f"size must be an array of the sides of squares or a tuple (heights, widths), but got a tuple of {len(size)}"
        )
    return iter(size if isinstance(size, tuple) else (size, size))


def _whole(name: str, values: ArrayLike) -> NDArray[np.int64]:
    array, (low, high) = np.asarray(values), _LIMITS[name]
    if not array.size:
        return array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise ValueError(f"{name} must be whole numbers, but got an array of {array.dtype}")
    least, most = int(array.min()), int(array.max())
    if not low <= least <= most <= high:
        raise ValueError(f"{name} must be whole numbers in {low}..{high}, but got {least if least < low else most}")
    return array.astype(np.int64)


def at_each(one: Callable[[tuple[int, int]], Sequence[int]], size: tuple[Any, Any], count: int) -> Any:
    """Return `one(size)`, `count` integers; for arrays of sizes `count` arrays, each distinct size looked up once."""
    if not isinstance(size[0], np.ndarray):
        return one(size)
    height, width = np.broadcast_arrays(*size)
    codes, place = np.unique(height * 2**16 + width, return_inverse=True)
    table = np.array([one(divmod(int(code), 2**16)) for code in codes], dtype=np.int64).reshape(len(codes), count)
    return [column[place].reshape(height.shape) for column in table.T]
