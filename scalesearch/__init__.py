"""scalesearch: search compound scaling and feature networks of detectors under a hard budget.

>>> import scalesearch as ss
>>> spec = ss.named("d0", classes=90)
>>> ss.price(spec).params
3880067
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scalesearch.api import audit as audit
    from scalesearch.api import evaluate as evaluate
    from scalesearch.api import fit as fit
    from scalesearch.api import load_model as load_model
    from scalesearch.api import load_plan as load_plan
    from scalesearch.api import predict as predict
    from scalesearch.api import search as search
    from scalesearch.api import train as train
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
    from scalesearch.nn.detector import build as build
    from scalesearch.plan.recipe import Recipe as Recipe
    from scalesearch.profile.resolve import resolve_spec as resolve  # noqa: F401
    from scalesearch.report.study_results import read_study as read_study
    from scalesearch.space.feasible import draws as draws
    from scalesearch.space.feasible import enumerated as enumerated
    from scalesearch.space.feasible import share as share
    from scalesearch.space.space import Choices as Choices
    from scalesearch.space.space import Space as Space
    from scalesearch.space.space import steps as steps

__version__ = "0.1.0"

logging.getLogger(__name__).addHandler(logging.NullHandler())

_MODULES = {
    "api": ("audit", "evaluate", "fit", "load_model", "load_plan", "predict", "search", "train"),
    "arch.networks": ("bifpn", "fpn", "panet"),
    "arch.scaling": ("compound", "named"),
    "arch.spec": ("Anchors", "DetectorSpec"),
    "arch.topology": ("Node", "Topology"),
    "cost.budget": ("Budget",),
    "cost.memory": ("peak_grid",),
    "cost.price": ("Cost", "breakdown", "price", "price_grid"),
    "nn.detector": ("build",),
    "plan.recipe": ("Recipe",),
    "profile.resolve": ("resolve_spec",),
    "report.study_results": ("read_study",),
    "space.feasible": ("draws", "enumerated", "share"),
    "space.space": ("Choices", "Space", "steps"),
}
"""Where each public name is; the imports above are the same for type checkers. A name is imported when it is asked for:
torch takes seconds, which a price does not need, and NumPy a tenth of one, which `--help` does not need."""
_ALIASES = {"resolve_spec": "resolve"}
_WHERE = {
    _ALIASES.get(name, name): (f"scalesearch.{module}", name) for module, names in _MODULES.items() for name in names
}
__all__ = [*_WHERE]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'scalesearch' has no attribute {name!r}")
    module, attribute = _WHERE[name]
    # Kept, so that a submodule of the same name (such as scalesearch.space) imported later does not take its place.
    globals()[name] = found = getattr(import_module(module), attribute)
    return found


def __dir__() -> list[str]:
    return [*globals(), *_WHERE]
