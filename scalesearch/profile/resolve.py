"""timm's models as data: each is built once on the meta device and measured at the given sizes.

Measurements are cached as JSON, one file for each model, levels, version of timm and version of the measurement.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import timm
import torch

from scalesearch.arch.backbone import BackboneMemory, Measured, TimmBackbone
from scalesearch.arch.operator import Operator, Size, from_list, to_list
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.price import Cost
from scalesearch.io.cache import cache_folder
from scalesearch.io.publish import publish_to_cache
from scalesearch.nn.backbone import TimmFeatures, one_line
from scalesearch.profile.flop_counter import count_module
from scalesearch.profile.memory_trace import backbone_memory
from scalesearch.profile.operator_trace import record

_MEASURING = 2
"""Version of the measurement, raised when its results change, so that cached ones are measured again."""


def resolve(
    backbone: TimmBackbone | str,
    *,
    sizes: Iterable[Size],
    levels: Sequence[int],
    cache: Path | None = None,
) -> TimmBackbone:
    """Return the backbone with its measurements at every (h, w) of `sizes`, for the maps of `levels`.

    cache: a folder; SCALESEARCH_CACHE or ~/.cache/scalesearch where it is None.

    Raises ValueError for a name that timm does not know (with the nearest), a model without features_only or without a
    map at one of the strides, one that fails at a size or whose maps are not ceil(size / 2**level), and one whose
    parameters differ between sizes.
    """
    name = backbone if isinstance(backbone, str) else backbone.name
    file = (cache or cache_folder()) / "timm" / _file_name(name, levels)
    found = _read(file)
    missing = [size for size in dict.fromkeys(sizes) if size not in found]
    for size in missing:
        found[size] = _measure(name, levels, size)
    if missing:
        _write(file, found)
    return TimmBackbone(name=name, measured=_joined(name, found, sizes))


def resolve_spec(spec: DetectorSpec, cache: Path | None = None) -> DetectorSpec:
    """Return the spec with its backbone measured at its size; the same spec where nothing needs measuring.

    ValueError as `resolve`.
    """
    if not isinstance(spec.backbone, TimmBackbone):
        return spec
    known, levels = spec.backbone.measured, tuple(spec.backbone_levels)
    whole = known and spec.size in known.operators and spec.size in known.memory
    if known and whole and tuple(known.channels) == levels and known.timm == timm.__version__:
        return spec
    backbone = resolve(spec.backbone, sizes=[spec.size], levels=levels, cache=cache)
    return dataclasses.replace(spec, backbone=backbone)


# ---- measuring ----


@dataclasses.dataclass(frozen=True)
class _Found:
    """The measurements of one model at one size."""

    channels: dict[int, int]
    cost: Cost
    operators: tuple[Operator, ...]
    memory: BackboneMemory | None
    """None where the model cannot be trained at this size."""


def _measure(name: str, levels: Sequence[int], size: Size) -> _Found:
    where = f"{size[0]}x{size[1]}"
    with torch.device("meta"):
        model = TimmFeatures(name, levels, size)
        images = torch.empty(1, 3, *size)
    try:
        cost, maps = count_module(model, images)
        operators = record(model, images)
    except Exception as error:
        # Some models work at no other size than that of their weights.
        inside: Any = model.model
        _, height, width = inside.pretrained_cfg["input_size"]
        raise ValueError(
            f"timm's {name!r} failed on an image of {where} with {one_line(error)}; "
            f"take a size divisible by {2 ** max(levels)}, or {height}x{width}, its own, or another backbone"
        ) from error
    for level, x in zip(levels, maps, strict=True):
        expected = -(-size[0] >> level), -(-size[1] >> level)
        if tuple(x.shape[2:]) != expected:
            step = 2 ** max(levels)
            mend = "" if size[0] % step == size[1] % step == 0 else f"a size divisible by {step}, or "
            raise ValueError(
                f"a map of level {level} must have ceil(size / {2**level}) = {expected[0]}x{expected[1]} cells at "
                f"{where}, but timm's {name!r} gives {x.shape[2]}x{x.shape[3]}; "
                f"take {mend}another backbone"
            )
    channels = {level: x.shape[1] for level, x in zip(levels, maps, strict=True)}
    return _Found(channels, cost, operators, backbone_memory(model, size))


def _joined(name: str, found: dict[Size, _Found], sizes: Iterable[Size]) -> Measured:
    chosen = {size: found[size] for size in sizes}
    if len({(one.cost.params, *one.channels.items()) for one in chosen.values()}) > 1:
        params = ", ".join(f"{one.cost.params} at {h}x{w}" for (h, w), one in chosen.items())
        raise ValueError(
            f"a backbone must have the same parameters at every size of a plan, but timm's {name!r} has {params}; "
            "give one size, or take another backbone"
        )
    first = next(iter(chosen.values()))
    return Measured(
        channels=first.channels,
        params=first.cost.params,
        macs={size: one.cost.macs for size, one in chosen.items()},
        activations={size: one.cost.activations for size, one in chosen.items()},
        timm=timm.__version__,
        memory={size: one.memory for size, one in chosen.items()},
        operators={size: one.operators for size, one in chosen.items()},
    )


# ---- the cache ----


def _file_name(name: str, levels: Sequence[int]) -> str:
    return f"{name}-{'_'.join(map(str, levels))}-timm{timm.__version__}-{_MEASURING}.json"


def _read(file: Path) -> dict[Size, _Found]:
    try:
        rows = json.loads(file.read_text())
        return {
            (row["size"][0], row["size"][1]): _Found(
                {int(level): channels for level, channels in row["channels"].items()},
                Cost(**row["cost"]),
                tuple(from_list(one) for one in row["operators"]),
                BackboneMemory(**row["memory"]) if row["memory"] else None,
            )
            for row in rows
        }
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return {}  # missing or not a cache file of ours: measure again


def _write(file: Path, found: dict[Size, _Found]) -> None:
    rows: list[dict[str, Any]] = [
        {
            "size": list(size),
            "channels": one.channels,
            "cost": one.cost._asdict(),
            "memory": one.memory._asdict() if one.memory else None,
            "operators": [to_list(operator) for operator in one.operators],
        }
        for size, one in found.items()
    ]
    publish_to_cache(file, json.dumps(rows))
