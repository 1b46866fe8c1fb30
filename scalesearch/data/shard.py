"""Which images of each batch are one process's, where several train one model. Imports torch."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Shard(NamedTuple):
    """The `rank`-th of `world` equal parts of every batch.

    What is random is drawn for the whole batch and cut, so that it does not depend on the number of processes.
    """

    rank: int = 0
    world: int = 1

    def rows(self, count: int) -> slice:
        """Of a batch of `count`, which `world` divides."""
        share = count // self.world
        return slice(self.rank * share, (self.rank + 1) * share)

    def of(self, batch: Tensor) -> Tensor:
        """[B, ...] -> the rows that are ours."""
        return batch[self.rows(len(batch))]


WHOLE = Shard()
