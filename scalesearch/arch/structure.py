"""The layers of a detector: rules shared by its cost (`cost/`) and its torch modules (`nn/`).

Imports the standard library and `arch`.
"""

from __future__ import annotations

from typing import NamedTuple

from scalesearch.arch.topology import Topology


class Resampling(NamedTuple):
    """The resampling of a map from one pyramid level to another."""

    operator: str
    """max_pool, avg_pool, nearest or bilinear."""
    kernel: int = 1
    stride: int = 1


DOWN: dict[str, tuple[str, int]] = {
    "max": ("max_pool", 1),
    "max_tight": ("max_pool", 0),
    "avg": ("avg_pool", 0),
    "bilinear": ("bilinear", 0),
}
"""`DetectorSpec.down` -> operator, and the kernel of a pool minus its stride (google/automl: 1)."""

UP = ("nearest", "bilinear")
"""The operators that `DetectorSpec.up` names."""


RESAMPLINGS = frozenset(UP) | {operator for operator, _ in DOWN.values()}
"""All operators that resample; between maps of equal size (of a tiny image) there is none."""


def downsampling(down: str, jump: int) -> Resampling:
    """Return the resampling of a map to the level that is `jump` levels coarser."""
    operator, overlap = DOWN[down]
    if not operator.endswith("_pool"):
        return Resampling(operator)
    return Resampling(operator, (1 << jump) + overlap, 1 << jump)


def resampling(source: int, target: int, down: str, up: str) -> Resampling | None:
    """Return the resampling from level `source` to level `target`; None if they are equal."""
    if source == target:
        return None
    return Resampling(up) if source > target else downsampling(down, target - source)


class NeckStructure(NamedTuple):
    """The layers of a feature network, without its widths, repeats and sizes: `DetectorSpec.neck`."""

    topology: Topology
    backbone_levels: range
    laterals: str
    extra_levels: str
    down: str
    up: str
    activation: str
    act_first: bool
    separable: bool
    bias: bool
    """Whether convolutions before a batch norm have biases."""

    @property
    def extra(self) -> range:
        """The levels above the backbone's, made from its coarsest map one after the other."""
        return range(self.backbone_levels[-1] + 1, self.topology.max_level + 1)

    @property
    def pooled(self) -> bool:
        """Whether the extra levels are made from the coarsest level's lateral."""
        return self.extra_levels == "pool"

    @property
    def level_laterals(self) -> tuple[int, ...]:
        """The indices of the backbone's maps with one lateral for all their readers, provided that channels differ."""
        if self.laterals != "level":
            return ()
        read = {i for node in self.topology.nodes for i in node.inputs}
        count = len(self.backbone_levels)
        return tuple(i for i in range(count) if i in read or (self.pooled and self.extra and i == count - 1))

    @property
    def extra_lateral(self) -> bool:
        """Whether the extra levels have a lateral of their own, provided that channels differ."""
        return bool(self.extra) and not self.pooled

    def edge_lateral(self, number: int, *, first: bool) -> bool:
        """Whether an edge from input `number` of a cell has its own lateral, provided that channels differ.

        first: whether the cell reads the backbone's maps.
        """
        return first and self.laterals == "edge" and number < len(self.backbone_levels)


class HeadStructure(NamedTuple):
    """The layers of the heads: `DetectorSpec.heads`."""

    levels: range
    activation: str
    separable: bool
    bias: bool
    """Whether convolutions before a batch norm have biases."""
