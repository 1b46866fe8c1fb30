"""scalesearch: search compound scaling and feature networks of detectors under a hard budget.

>>> import scalesearch as ss
>>> spec = ss.named("d0", classes=90)
>>> ss.price(spec).params
3880067
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scalesearch.arch.networks import bifpn as bifpn
from scalesearch.arch.networks import fpn as fpn
from scalesearch.arch.networks import panet as panet
from scalesearch.arch.scaling import compound as compound
from scalesearch.arch.scaling import named as named
from scalesearch.arch.spec import Anchors as Anchors
from scalesearch.arch.spec import DetectorSpec as DetectorSpec
from scalesearch.arch.topology import Node as Node
from scalesearch.arch.topology import Topology as Topology
from scalesearch.cost.budget import Budget as Budget
from scalesearch.cost.memory import peak_grid as peak_grid
from scalesearch.cost.price import Cost as Cost
from scalesearch.cost.price import breakdown as breakdown
from scalesearch.cost.price import price as price
from scalesearch.cost.price import price_grid as price_grid
from scalesearch.space.feasible import draws as draws
from scalesearch.space.feasible import enumerated as enumerated
from scalesearch.space.feasible import share as share
from scalesearch.space.space import Choices as Choices
from scalesearch.space.space import Space as Space
from scalesearch.space.space import steps as steps

if TYPE_CHECKING:
    from scalesearch.nn.detector import build as build
    from scalesearch.profile.resolve import resolve_spec as resolve  # noqa: F401

__version__ = "0.1.0"

_NEED_TORCH = {
    "build": ("scalesearch.nn.detector", "build"),
    "resolve": ("scalesearch.profile.resolve", "resolve_spec"),
}


def __getattr__(name: str) -> Any:
    # Importing torch takes seconds, which a price does not need.
    if name not in _NEED_TORCH:
        raise AttributeError(f"module 'scalesearch' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _NEED_TORCH[name]
    return getattr(import_module(module), attribute)
