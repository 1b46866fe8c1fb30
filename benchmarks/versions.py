"""The package of an earlier revision beside today's, for `compare_price.py`: the same calls of both.

The earlier one is extracted from git and imported as `before`.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
import subprocess
import tarfile
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from scalesearch.arch.spec import DetectorSpec, to_dict, topology_to_dict
from scalesearch.arch.topology import Topology

PACKAGE = "before"
"""The name of the earlier package."""


class MissingError(Exception):
    """The revision is not in the clone."""


def extracted(revision: str, folder: Path) -> None:
    """Write the package of a revision to `folder`, under the name PACKAGE. `MissingError` for a revision not in the clone."""
    root = Path(__file__).parent.parent
    found = subprocess.run(["git", "-C", root, "archive", revision, "scalesearch"], capture_output=True, check=False)
    if found.returncode:
        raise MissingError(
            f"nothing was compared: revision {revision} is not in this clone; git fetch --unshallow brings the history"
        )
    with tarfile.open(fileobj=BytesIO(found.stdout)) as archive:
        archive.extractall(folder, filter="data")
    (folder / "scalesearch").rename(folder / PACKAGE)
    for path in (folder / PACKAGE).rglob("*.py"):
        path.write_text(re.sub(r"\bscalesearch\b", PACKAGE, path.read_text()))


class Version:
    """One of the two packages. Specs of today become its own by their JSON form."""

    def __init__(self, package: str) -> None:
        def module(name: str) -> Any:
            return importlib.import_module(f"{package}.{name}")

        self.package = importlib.import_module(package)
        self.memory = module("cost.memory" if find_spec(f"{package}.cost") else "arch.memory")
        self.backbone, self.specs, self.genes = module("arch.backbone"), module("arch.spec"), module("arch.genes")
        settings = self.memory.TrainingSettings if hasattr(self.memory, "TrainingSettings") else self.memory.Training
        self.training = settings(batch=4, optimizer="sgd")

    def spec(self, spec: DetectorSpec) -> Any:
        """Return a new object, equal to the spec of today."""
        found = self.specs.from_dict(to_dict(spec))
        measured = getattr(spec.backbone, "measured", None)
        if measured is None:
            return found
        memory = {size: one and self.backbone.BackboneMemory(*one) for size, one in measured.memory.items()}
        own = self.backbone.Measured(
            measured.channels, measured.params, measured.macs, measured.activations, measured.timm, memory=memory
        )
        return dataclasses.replace(found, backbone=dataclasses.replace(found.backbone, measured=own))

    def topologies(self, topologies: Sequence[Topology]) -> list[Any]:
        """Return new objects, equal to the topologies of today."""
        return [self.specs._topology_from_dict(topology_to_dict(topology)) for topology in topologies]

    def one(self, spec: Any) -> tuple[int, ...]:
        """Return all metrics of one detector."""
        cost = self.package.price(spec)
        memory = self.memory.peak_activations(spec), self.memory.inference_memory(spec)
        return *cost, *memory, self.memory.training_memory(spec, self.training)

    def grid(self, base: Any, axes: dict[str, Any]) -> Any:
        """Return all metrics over a grid: [6, ...]."""
        found = self.package.price_grid(base, **axes)
        memory = self.memory.peak_grid(base, **axes), self.memory.memory_grid(base, **axes)
        return np.stack([*found, *memory, self.memory.training_memory_grid(base, self.training, **axes)])

    @cached_property
    def free_graphs(self) -> tuple[Any, Any]:
        """Return a space of free graphs and a band that holds a few in a hundred of its points."""
        choices = self.package.Choices
        axes = {"backbone": ("efficientnet-w0.25-d0.25",), "width": (16, 24, 32, 40, 48), "repeats": (1,)}
        axes |= {"head_depth": (1,), "size": (96,), "min_level": (2,), "max_level": (5,)}
        genes = self.genes.Genes(levels=(2, 5), nodes=8, inputs=3, fusions=("fast", "sum"))
        space = self.package.Space(axes={name: choices(each) for name, each in axes.items()}, classes=2, genes=genes)
        return space, self.package.Budget(macs={"min": "14M", "max": "14.5M"})

    def draws(self, seed: int, count: int) -> list[Any]:
        """Return random free graphs inside the band."""
        space, budget = self.free_graphs
        return list(self.package.draws(space, budget, np.random.default_rng(seed), count))
