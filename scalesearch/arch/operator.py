"""One operator of a detector in use: what a predicted latency is summed over. Standard library only.

In use means without batch norms (they go into the convolutions before them) and with what depends on weights alone
computed once, as `nn.deploy` prepares a detector.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Size = tuple[int, int]

COUNTED = ("conv", "product", "linear", "matmul")
"""The operators that have multiply-adds. product: a 1x1 convolution of all levels at once, as one matrix product."""


class Operator(NamedTuple):
    """An operator with its shapes, for one image.

    name: conv, product, linear, matmul; max_pool, avg_pool, nearest, bilinear; mean, amax (over a whole map), scale (a
    map by a number for each channel); fuse_sum, fuse_scalar, fuse_channel, fuse_gate (of a node's inputs); add,
    activation, pad, concat, and for timm's models other names of PyTorch's.
    """

    part: str
    """backbone, neck, class_head or box_head."""
    name: str
    c_in: int
    c_out: int
    source: Size
    """(h, w) of what is read."""
    target: Size
    """(h, w) of what is written."""
    kernel: Size = (1, 1)
    stride: int = 1
    groups: int = 1
    inputs: int = 1
    """Maps that are read."""
    after: str = ""
    """The activation that follows a convolution at once, which a backend may fuse; of `activation`, which one."""
    params: int = 0
    """Trainable parameters, the following batch norm's too; of a shared convolution, at its first use."""
    live: bool = True
    """False where nothing reads the result, and deployment drops it."""

    @property
    def weights(self) -> int:
        """Numbers in the kernel."""
        if self.name not in COUNTED:
            return 0
        return self.kernel[0] * self.kernel[1] * self.c_in // self.groups * self.c_out

    @property
    def macs(self) -> int:
        """Multiply-adds, by the convention of `cost.price`."""
        return self.weights * self.target[0] * self.target[1]

    @property
    def activations(self) -> int:
        """Output elements of a convolution, by the convention of `cost.price`; 0 of anything else."""
        return self.written if self.name in ("conv", "product") else 0

    @property
    def read(self) -> int:
        """Elements of the maps that are read."""
        return self.inputs * self.c_in * self.source[0] * self.source[1]

    @property
    def written(self) -> int:
        """Elements of the map that is written."""
        return self.c_out * self.target[0] * self.target[1]


def to_list(operator: Operator) -> list[Any]:
    """Plain JSON data; `from_list` is its inverse."""
    return [list(value) if isinstance(value, tuple) else value for value in operator]


def from_list(data: list[Any]) -> Operator:
    """The inverse of `to_list`; TypeError for anything else."""
    values: list[Any] = [tuple(value) if isinstance(value, list) else value for value in data]
    return Operator(*values)
