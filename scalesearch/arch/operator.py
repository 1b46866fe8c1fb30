"""One operator of a deployed detector; predicted latencies are sums over operators. Standard library only.

A deployed detector, as `nn.deploy` prepares it, has its batch norms folded into the convolutions before them, and
everything that depends on weights alone is computed once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Size = tuple[int, int]

COUNTED = ("conv", "product", "linear", "matmul")
"""The operators with multiply-adds. product: a 1x1 convolution of all levels at once, as one matrix product."""


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
    """(h, w) of the maps that are read."""
    target: Size
    """(h, w) of the map that is written."""
    kernel: Size = (1, 1)
    stride: int = 1
    groups: int = 1
    inputs: int = 1
    """The number of maps that are read."""
    after: str = ""
    """The activation directly after a convolution, which a backend may fuse; for `activation`, its kind."""
    params: int = 0
    """Trainable parameters, including the following batch norm's; a shared convolution has them at its first use."""
    live: bool = True
    """False if nothing reads the result; deployment then drops the operator."""

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
        """Output elements of a convolution, by the convention of `cost.price`; 0 for other operators."""
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
    """Return plain JSON data; `from_list` is the inverse."""
    return [list(value) if isinstance(value, tuple) else value for value in operator]


def from_list(data: list[Any]) -> Operator:
    """Invert `to_list`; TypeError for anything else."""
    values: list[Any] = [tuple(value) if isinstance(value, list) else value for value in data]
    return Operator(*values)
