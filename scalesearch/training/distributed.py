"""Training of one model by several processes, one device each: the process's rank, and their communication.

Imports torch, timm, data and nn. `torchrun` starts the processes and gives ranks by environment variables. The first
process writes files and messages. Where one process fails, all end, and one of them reports the error.
"""

from __future__ import annotations

import copy
import inspect
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_leaves

from scalesearch.data.shard import WHOLE, Shard
from scalesearch.nn.recompute import set_recompute

T = TypeVar("T")

_BUFFERS = (
    "forward_sync_buffers"
    if "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
    else "broadcast_buffers"
)
"""torch's name for broadcasting buffers in each step."""

PATIENCE = timedelta(hours=2)
"""Timeout of waiting for another process's work outside the steps, which may be decoding a large data set. A dead process
is noticed at once."""
STEP_PATIENCE = timedelta(minutes=10)
"""Timeout of waiting within a step, torch's own for NCCL: all processes are at the same step, and one that hangs is to be
noticed. The slowest thing there is a step that compiles."""


@dataclass(frozen=True, kw_only=True)
class Team:
    """The processes that train one model; a single one unless `joined` found more."""

    shard: Shard = WHOLE
    device: torch.device | None = None
    """This process's device; None: the one that the task is given."""
    local: int = 0
    """This process's rank on its machine."""
    waiting: dist.ProcessGroup | None = None
    """The group, with PATIENCE, that waits for other processes' work; gloo's, so that no GPU spins meanwhile."""

    @property
    def world(self) -> int:
        """The number of processes."""
        return self.shard.world

    @property
    def first(self) -> bool:
        """Whether this process writes files and messages."""
        return self.shard.rank == 0

    @property
    def synced(self) -> bool:
        """Whether batch norms see the whole batch. On a CPU they see the process's shard: torch syncs on GPUs only."""
        return self.world > 1 and self.device is not None and self.device.type == "cuda"

    def check_batch(self, batch: int, images: int) -> None:
        """Raise ValueError unless the processes' shards of a batch are equal."""
        whole = min(batch, images)
        if whole % self.world:
            fits = max(self.world, batch // self.world * self.world)
            raise ValueError(
                f"the batch, which is over all processes, must be divisible by their number, but {self.world} processes "
                f"have a batch of {whole}{f' (all {images} images)' if images < batch else ''}: set batch={fits}, or "
                "start another number of processes"
            )

    def norms(self, model: nn.Module) -> nn.Module:
        """Return the model with synchronized batch norms where possible; weights and names stay."""
        return synchronized(model) if self.synced else model

    def wrapped(self, model: nn.Module, size: tuple[int, int]) -> nn.Module:
        """Return the model to train with, for images of (h, w): its backward pass averages the gradients over all
        processes.

        Buffers are not broadcast in each step: synchronized norms hold equal statistics, and the others follow their own
        shards until `agree`.
        """
        if self.world == 1:
            return model
        options: dict[str, Any] = {
            _BUFFERS: False,
            "device_ids": [self.device] if self.synced else None,
            "gradient_as_bucket_view": True,
            # It walks the graph in every step, but without it such a model raises in the second.
            "find_unused_parameters": has_unused_parameters(model, size),
        }
        return DistributedDataParallel(model, **options)

    def positives(self, count: int, device: torch.device) -> Tensor | None:
        """Return the divisor of this process's sum of losses, such that the mean over processes is the whole batch's.

        None for a single process, where it is `count` + 1.
        """
        if self.world == 1:
            return None
        total = torch.tensor(float(count), device=device)
        dist.all_reduce(total)
        return (total + 1) / self.world

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a tensor over the processes."""
        if self.world > 1:
            value = value.clone()
            dist.all_reduce(value)
            value /= self.world
        return value

    def agree(self, model: nn.Module) -> None:
        """Copy the first process's batch-norm statistics to all, in place."""
        if self.world > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, 0)

    def gathered(self, item: T) -> list[T]:
        """Return every process's item, by rank, on the first process; [] on the others."""
        if self.world == 1:
            return [item]
        items: list[Any] = [None] * self.world
        dist.gather_object(item, items if self.first else None, group=self.waiting)
        return items if self.first else []

    def shared(self, make: Callable[[], T]) -> T:
        """Return on all processes what the first one makes. An exception there is raised on all."""
        if self.world == 1:
            return make()
        sent: list[Any] = [_tried(make) if self.first else None]
        dist.broadcast_object_list(sent, 0, group=self.waiting)
        value, error = sent[0]
        if error is not None:
            raise error
        return value  # type: ignore[no-any-return]

    def one_before_others(self, make: Callable[[], T]) -> T:
        """Return each process's own result; on each machine one process goes first, and the others find its files.

        All return at the same time.
        """
        if self.world == 1:
            return make()
        made = make() if self.local == 0 else None
        dist.barrier(self.waiting)
        made = make() if made is None else made
        dist.barrier(self.waiting)
        return made


ALONE = Team()


def synchronized(model: nn.Module) -> nn.Module:
    """Return the model with synchronized batch norms; timm's, which include an activation, keep theirs."""
    return convert_sync_batchnorm(model)  # type: ignore[no-any-return, no-untyped-call]


def has_unused_parameters(model: nn.Module, size: tuple[int, int]) -> bool:
    """Whether no output for images of (h, w) depends on some parameter that is trained, as in an HRNet whose finest map is
    not read; also True where that cannot be told without data."""
    probe = copy.deepcopy(model).to("meta").eval()  # in training, synchronized norms refuse that device
    set_recompute(probe, on=False)
    try:
        outputs = tree_leaves(probe(torch.empty(1, 3, *size, device="meta")))
        sum(output.sum() for output in outputs).backward()
    except Exception:  # noqa: BLE001  a model of timm may raise anything there
        return True
    return any(parameter.requires_grad and parameter.grad is None for parameter in probe.parameters())


def _tried(make: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return make(), None
    except Exception as error:  # noqa: BLE001 - raised again in every process
        return None, error


@contextmanager
def joined() -> Iterator[Team]:
    """Join the processes that torchrun's environment describes until the block ends; a team of one without it.

    Raises ValueError where a machine has fewer GPUs than processes. After exceptions in the block, one process raises
    its own and the others exit silently with status 1.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield ALONE
        return
    store, rank, world = next(dist.rendezvous("env://"))  # type: ignore[attr-defined]
    try:
        local = int(os.environ.get("LOCAL_RANK", rank))
        device = _device(local)
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        own = dist.PrefixStore("team", store)  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=own, rank=rank, world_size=world, timeout=STEP_PATIENCE)
        waiting = cast(dist.ProcessGroup, dist.new_group(backend="gloo", timeout=PATIENCE))
        with warnings.catch_warnings():
            # 1x1 kernels in channels_last: strides differ in dimensions of size 1, the memory layout does not.
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides", UserWarning)
            yield Team(shard=Shard(rank, world), device=device, local=local, waiting=waiting)
    except (Exception, KeyboardInterrupt):
        if _reported_already(store):
            raise SystemExit(1) from None
        raise
    dist.destroy_process_group()


def _reported_already(store: Any) -> bool:
    """Whether another process reports an exception; also True where its exit took the store with it."""
    try:
        return int(store.add("failed", 1)) > 1
    except Exception:  # noqa: BLE001 - torch raises many classes for a lost connection
        return True


def _device(local: int) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if local >= torch.cuda.device_count():
        raise ValueError(
            f"each process needs a GPU of its own, but process {local + 1} of this machine finds "
            f"{torch.cuda.device_count()}: give torchrun --nproc-per-node {torch.cuda.device_count()} or fewer"
        )
    torch.cuda.set_device(local)
    return torch.device("cuda", local)
