"""The test oracle of `cost.memory`: the memory of a built module, observed while it runs.

Kept maps are found by autograd's saved-tensor hooks. Live maps are found by recording every operation and its storages
on the meta device, where nothing is allocated. May import arch, nn and torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from scalesearch.arch.backbone import BackboneMemory
from scalesearch.nn.recompute import set_recompute

_ATEN = torch.ops.aten
_POINTWISE = {
    "add", "mul", "addcmul", "sub", "div", "silu", "relu", "hardtanh", "hardswish", "hardsigmoid", "sigmoid", "gelu",
    "clone", "native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm", "_to_copy", "tanh",
    "leaky_relu", "clamp", "pow", "rsqrt", "exp", "copy", "native_layer_norm", "where",
}  # fmt: skip
"""Operations that may write over an operand that is not read again."""


def kept_bytes(module: nn.Module, run: Callable[[], Any]) -> int:
    """Return the bytes that autograd keeps for backward while `run` runs: distinct storages, each once and whole.

    The module's parameters and buffers are left out.
    """
    own = {tensor.untyped_storage()._cdata for tensor in (*module.parameters(), *module.buffers())}
    with saved_storages() as seen:
        result = run()  # held, since the saved tensors are freed with it
        total = sum(storage.nbytes() for place, storage in seen.items() if place not in own)
    del result
    return total


def recomputed_bytes(module: nn.Module, run: Callable[[], Any]) -> int:
    """Return the most bytes kept at once for the backward pass of `run`, with checkpointing.

    Each segment (`nn/recompute.py`) is run under hooks of its own, in place of the checkpoint: when the backward pass makes
    its maps again, what was kept before it is still there. The module's parameters and buffers are left out.
    """
    own = {tensor.untyped_storage()._cdata for tensor in (*module.parameters(), *module.buffers())}
    totals: list[int] = []

    def segment(work: Callable[..., Any], *args: Any, **_: Any) -> Any:
        for tensor in tree_leaves(args):
            if isinstance(tensor, Tensor) and tensor.requires_grad:
                seen[tensor.untyped_storage()._cdata] = tensor.untyped_storage()
        with saved_storages() as inside:
            out = work(*args)
        totals.append(sum(storage.nbytes() for place, storage in (seen | inside).items() if place not in own))
        return out

    set_recompute(module)
    with saved_storages() as seen, patch("scalesearch.nn.recompute.checkpoint", segment):
        result = run()
        totals.append(sum(storage.nbytes() for place, storage in seen.items() if place not in own))
    set_recompute(module, on=False)
    del result
    return max(totals)


@contextmanager
def saved_storages() -> Iterator[dict[int, torch.UntypedStorage]]:
    """Collect the storages of tensors saved for backward, by address; held, so that no address is reused."""
    seen: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        seen[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield seen


def peak_numbers(module: nn.Module, images: Tensor) -> int:
    """Return the largest sum of live maps in elements while `images` pass through `module`, as in cost/liveness.py.

    The module is in eval mode. A copy padded at the edge counts as the map itself: our convolutions pad without one.
    """
    module.eval()
    recorder = _MapRecorder(images)
    with torch.no_grad(), recorder:
        outputs = module(images)
    return _peak(recorder, {recorder.place(x) for x in tree_leaves(outputs) if isinstance(x, Tensor)})


class _MapRecorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records each operation on data from the images: the storages that it reads and the one that it makes."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.alias: dict[int, int] = {}
        self.sizes = {self.place(images): images.numel()}
        self.held: list[Tensor] = [images]  # so that no address is reused
        self.ops: list[tuple[list[int], list[int], bool]] = []

    def place(self, tensor: Tensor) -> int:
        """Return the tensor's storage; for a padded copy, that of the original map."""
        place = int(tensor.untyped_storage()._cdata)
        while place in self.alias:
            place = self.alias[place]
        return place

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func._schema.name.split("::")[1].rstrip("_")
        reads = [self.place(x) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        reads = list(dict.fromkeys(place for place in reads if place in self.sizes))
        made = []
        # Further results of a norm (statistics) or a max-pool (indices) are no maps.
        for x in tree_leaves(out)[:1]:
            if isinstance(x, Tensor) and reads and x.numel() and x.untyped_storage()._cdata not in self.alias:
                self.held.append(x)
                if name == "constant_pad_nd":
                    self.alias[x.untyped_storage()._cdata] = reads[0]
                elif self.place(x) not in self.sizes:
                    self.sizes[self.place(x)] = x.numel()
                    made.append(self.place(x))
        if reads:
            self.ops.append((reads, made, name in _POINTWISE))
        return out


def _peak(recorder: _MapRecorder, outputs: set[int]) -> int:
    sizes = recorder.sizes
    last = {place: i for i, (reads, _, _) in enumerate(recorder.ops) for place in reads}
    last |= dict.fromkeys(outputs, len(recorder.ops))
    alive = {next(iter(sizes))}
    peak = 0
    for i, (reads, made, pointwise) in enumerate(recorder.ops):
        dying = [place for place in reads if last[place] <= i]
        new = sum(sizes[place] for place in made)
        over = pointwise and len(made) == 1 and any(sizes[place] == new for place in dying)
        peak = max(peak, sum(sizes[place] for place in alive) + (0 if over else new))
        alive -= set(dying)
        alive |= {place for place in made if place in last}
    return peak


def backbone_memory(module: nn.Module, size: tuple[int, int]) -> BackboneMemory | None:
    """Return a backbone's memory for one image, on the meta device; None where it cannot be trained at this size."""
    # The difference of two batches, since what does not grow with the batch is no map. From two images on, as one image
    # may be one position.
    try:
        two, three = (_kept_numbers(module, size, batch) for batch in (2, 3))
    except Exception:  # noqa: BLE001  a model may raise anything: its price stands, its memory is unknown
        return None
    norms = sum(m.num_features for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm))
    peak = peak_numbers(module, torch.empty(1, 3, *size, device="meta"))
    return BackboneMemory(peak, three - two, norms)


def _kept_numbers(module: nn.Module, size: tuple[int, int], batch: int) -> int:
    """Return the elements kept for a batch, the output maps included, each once."""
    module.train()
    images = torch.empty(batch, 3, *size, device="meta").to(memory_format=torch.channels_last)
    own = {tensor.untyped_storage()._cdata for tensor in (*module.parameters(), *module.buffers())}
    with saved_storages() as seen:
        maps = module(images)
        for x in maps:
            seen[x.untyped_storage()._cdata] = x.untyped_storage()
        total = sum(storage.nbytes() for place, storage in seen.items() if place not in own)
    module.eval()
    return total // 4
