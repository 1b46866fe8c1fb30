"""The operators of a module, recorded on the meta device: for timm's models, which `cost.operators` cannot unroll.

May import arch and torch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from scalesearch.arch.operator import Operator, Size

_FREE = {
    *("view", "_unsafe_view", "reshape", "permute", "transpose", "t", "expand", "unsqueeze", "squeeze", "slice"),
    *("select", "split", "split_with_sizes", "chunk", "unbind", "alias", "detach", "empty", "as_strided", "unfold"),
    *("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm", "dropout", "lift_fresh"),
}
"""Operations without cost in a deployed graph: views, and batch norms, which are folded into convolutions."""

_NORMS = ("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm")

ACTIVATIONS = {
    "silu": "silu",
    "relu": "relu",
    "relu6": "relu6",
    "hardtanh": "relu6",
    "hardswish": "hard_swish",
    "gelu": "gelu",
    "sigmoid": "sigmoid",
    "hardsigmoid": "hard_sigmoid",
    "leaky_relu": "leaky_relu",
    "mish": "mish",
}
"""PyTorch's name of an activation -> ours."""

_NAMES = {
    "max_pool2d": "max_pool",
    "max_pool2d_with_indices": "max_pool",
    "avg_pool2d": "avg_pool",
    "upsample_nearest2d": "nearest",
    "upsample_bilinear2d": "bilinear",
    "constant_pad_nd": "pad",
    "sum": "mean",
    "mean": "mean",
    "amax": "amax",
    "mul": "scale",
    "cat": "concat",
    "clone": "copy",
    "copy": "copy",
    "_to_copy": "copy",
    "contiguous": "copy",
}


class _OperatorRecorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records an operator for each call that has a cost."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rows: list[Operator] = []
        self.makers: dict[int, int] = {}
        self.held: list[Any] = []
        """Every result, so that no two share an id."""
        self.calls: list[tuple[set[int], set[int], int | None]] = []
        """For each call: the storages that it reads, those that it writes, and the index of its row, if any."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        first = out[0] if isinstance(out, (tuple, list)) and out else out
        if isinstance(first, Tensor):
            self._note(func, args, kwargs or {}, out, first)
        return out

    def live(self, outputs: Any) -> list[Operator]:
        """Return the rows, with those that do not reach `outputs` marked as not live."""
        wanted, alive = _storages(outputs), set[int]()
        for reads, writes, row in reversed(self.calls):
            if writes & wanted:
                wanted |= reads
                alive |= set() if row is None else {row}
        return [row._replace(live=i in alive) for i, row in enumerate(self.rows)]

    def _note(self, func: Any, args: Any, kwargs: Any, out: Any, first: Tensor) -> None:
        before = len(self.rows)
        self._add(func, args, kwargs, out, first)
        row = before if len(self.rows) > before else None
        self.calls.append((_storages([args, list(kwargs.values())]), _storages([out]), row))

    def _add(self, func: Any, args: Any, kwargs: Any, out: Any, first: Tensor) -> None:
        self.held.append((out, args))
        name = func._schema.name.split("::")[1].rstrip("_")
        inputs = [x for x in _flat(args) if isinstance(x, Tensor)]
        maker = self.makers.get(id(inputs[0])) if inputs else None
        if name in _FREE:
            # A norm is folded into its convolution, and then the activation after it may be too.
            if maker is not None and (name in _NORMS or name in ("view", "reshape", "alias", "detach")):
                self.makers[id(first)] = maker
            return
        if name in ACTIVATIONS and maker is not None and self.rows[maker].name == "conv" and not self.rows[maker].after:
            self.rows[maker] = self.rows[maker]._replace(after=ACTIVATIONS[name])
            return
        row = _operator(func, name, args, kwargs, out, first, inputs)
        if row is not None:
            self.makers[id(first)] = len(self.rows)
            self.rows.append(row)


def _storages(values: Any) -> set[int]:
    return {x.untyped_storage()._cdata for x in _flat(values) if isinstance(x, Tensor)}


def _flat(values: Any) -> list[Any]:
    return [x for value in values for x in (_flat(value) if isinstance(value, (list, tuple)) else [value])]


def _operator(
    func: Any, name: str, args: Any, kwargs: Any, out: Any, first: Tensor, inputs: list[Tensor]
) -> Operator | None:
    maps = [x for x in inputs if x.numel() >= max(1, first.numel() // 8)] or inputs
    if not maps or first.numel() == 0:
        return None  # made from no map, such as zeros
    c_in, source = _shape(maps[0])
    c_out, target = _shape(first)
    if name == "convolution":
        return _convolution(args, first)
    if func._overloadpacket in flop_registry:
        macs = int(flop_registry[func._overloadpacket](*args, **kwargs, out_val=out)) // 2
        c_out, cells = int(first.shape[-1]), first.numel() // int(first.shape[-1])
        linear = "linear" if name in ("addmm", "mm") else "matmul"
        return Operator("backbone", linear, macs // first.numel(), c_out, (cells, 1), (cells, 1))
    if name in ACTIVATIONS:
        return Operator("backbone", "activation", c_in, c_out, source, target, after=ACTIVATIONS[name])
    ours = _NAMES.get(name, name)
    if ours == "scale" and len(maps) < 2 and len(inputs) < 2:
        ours = "multiply"
    window = args[1] if "pool" in ours else None
    kernel = (int(window[0]), int(window[-1])) if window else (1, 1)
    stride = max(1, round(source[0] / max(1, target[0])))
    return Operator(
        "backbone", ours, c_in, c_out, source, target, kernel, stride, inputs=len(maps) if ours == "add" else 1
    )


def _convolution(args: Any, out: Tensor) -> Operator:
    """Return the operator of aten.convolution; one-dimensional ones (efficient channel attention) act on [B, C, L]."""
    x, weight, stride, groups = args[0], args[1], args[3], args[8]
    source, target, kernel = ((int(at.shape[2]), int(at.shape[3]) if at.dim() > 3 else 1) for at in (x, out, weight))
    c_in, c_out = int(x.shape[1]), int(out.shape[1])
    return Operator("backbone", "conv", c_in, c_out, source, target, kernel, int(stride[0]), int(groups))


def _shape(x: Tensor) -> tuple[int, Size]:
    """Return (channels, (h, w)) of a map, or an equivalent of as many elements for layouts other than [B, C, H, W]."""
    if x.dim() == 4:
        return int(x.shape[1]), (int(x.shape[2]), int(x.shape[3]))
    last = int(x.shape[-1]) if x.dim() else 1
    return last, (max(1, x.numel() // max(1, last)), 1)


def record(module: nn.Module, *inputs: Any) -> tuple[Operator, ...]:
    """Record the operators of one call of `module` on the meta device, in eval mode, for a batch of one, in order.

    Batch norms and views are left out. An activation is put on the convolution that it follows. Operators whose result
    nothing reads are not live. The first operator carries all trainable parameters.
    """
    was_training = module.training
    recorder = _OperatorRecorder()
    try:
        module.eval()
        with torch.no_grad(), recorder:
            outputs = module(*inputs)
    finally:
        module.train(was_training)
    params = sum(p.numel() for p in module.parameters() if p.requires_grad)
    first, *rest = recorder.live([outputs])
    return (first._replace(params=params), *rest)
