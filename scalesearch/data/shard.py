"""The part of each batch that one of several training processes gets. Imports torch."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Shard(NamedTuple):
    """The `rank`-th of `world` equal parts of every batch.

    Random draws are made for the whole batch and then cut, so that they do not depend on the number of processes.
    """

    rank: int = 0
    world: int = 1

    def rows(self, count: int) -> slice:
        """Return this shard's rows of a batch of `count`, which `world` divides."""
        share = count // self.world
        return slice(self.rank * share, (self.rank + 1) * share)

    def of(self, batch: Tensor) -> Tensor:
        """[B, ...] -> this shard's rows."""
        return batch[self.rows(len(batch))]


WHOLE = Shard()
