"""Which layers a detector has: the rules that its cost (`cost/`) and its torch modules (`nn/`) both ask.

Standard library and arch.
"""

from __future__ import annotations

from typing import NamedTuple

from scalesearch.arch.topology import Topology


class Resampling(NamedTuple):
    """How a map is brought from one pyramid level to another."""

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
"""`DetectorSpec.down` -> operator, and by how much the kernel of a pool exceeds its stride (google/automl: 1)."""

UP = ("nearest", "bilinear")
"""`DetectorSpec.up`: the operator."""


RESAMPLINGS = frozenset(UP) | {operator for operator, _ in DOWN.values()}
"""Every operator that resamples; where a tiny image's two maps have the same few pixels there is none."""


def downsampling(down: str, jump: int) -> Resampling:
    """What brings a map to the level that is `jump` coarser."""
    operator, overlap = DOWN[down]
    if not operator.endswith("_pool"):
        return Resampling(operator)
    return Resampling(operator, (1 << jump) + overlap, 1 << jump)


class NeckStructure(NamedTuple):
    """What decides which layers a feature network has, whatever its widths, repeats and sizes: `DetectorSpec.neck`."""

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
    """Of convolutions that a batch norm follows."""

    @property
    def extra(self) -> range:
        """The levels above the backbone's, made of its coarsest map one after the other."""
        return range(self.backbone_levels[-1] + 1, self.topology.max_level + 1)

    @property
    def pooled(self) -> bool:
        """Whether the extra levels are made of the coarsest level's lateral."""
        return self.extra_levels == "pool"

    @property
    def level_laterals(self) -> tuple[int, ...]:
        """The places of the backbone's maps that have one lateral for all their readers, where channels differ."""
        if self.laterals != "level":
            return ()
        read = {i for node in self.topology.nodes for i in node.inputs}
        count = len(self.backbone_levels)
        return tuple(i for i in range(count) if i in read or (self.pooled and self.extra and i == count - 1))

    @property
    def extra_lateral(self) -> bool:
        """Whether the extra levels have a lateral of their own, where channels differ."""
        return bool(self.extra) and not self.pooled

    def edge_lateral(self, number: int, *, first: bool) -> bool:
        """Whether an edge that reads input `number` of a cell has a lateral of its own, where channels differ.

        first: the cell reads the backbone's maps.
        """
        return first and self.laterals == "edge" and number < len(self.backbone_levels)

    def resampling(self, source: int, target: int) -> Resampling | None:
        """What brings a map of level `source` to level `target`; None where they are one."""
        if source == target:
            return None
        return Resampling(self.up) if source > target else downsampling(self.down, target - source)


class HeadStructure(NamedTuple):
    """What decides which layers the heads have: `DetectorSpec.heads`."""

    levels: range
    activation: str
    separable: bool
    bias: bool
    """Of convolutions that a batch norm follows."""
