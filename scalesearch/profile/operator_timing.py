"""The timing of one detector, whole and in parts, from which tables of timings are made. May import arch, cost, nn,
torch and (in functions) onnxruntime.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from scalesearch.arch.operator import Operator
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.latency import LatencySetting, amounts
from scalesearch.cost.operators import operators
from scalesearch.cost.price import price
from scalesearch.nn.deploy import Prepared
from scalesearch.profile.latency_benchmark import (
    Call,
    deployed,
    open_session,
    prepared_with_images,
    take_turns,
    timer,
)
from scalesearch.profile.latency_setting import device_of
from scalesearch.profile.onnx_graph import sketch

Amounts = Mapping[str, Mapping[str, float]]

Part = tuple[Operator | str, float]
"""A convolution, or the name of a group of other operators, and its time."""

GROUPS = {
    "activation": ("gelu", "silu", "relu", "hardtanh", "clip", "swish", "sigmoid"),
    "resize": ("upsample", "resize"),
    "pool": ("pool",),
    "product": ("linear", "gemm"),
}
"""Group -> substrings of the operators' names in a backend's own timings."""


@dataclass(frozen=True)
class Observed:
    """One timed detector. Times are in units of the reference operation."""

    detector: str
    """The spec's id."""
    macs: int
    whole: float
    amounts: Amounts
    parts: tuple[Part, ...]
    reference: float
    """Time of the reference operation, in seconds."""


def observe(spec: DetectorSpec, setting: LatencySetting, *, rounds: int = 12, seconds: float = 1.0) -> Observed:
    """Time one detector, whole and, where the backend allows, the share of each convolution and group."""
    rows = operators(spec)
    shares: list[Part] = []
    if setting.backend == "onnxruntime":
        model, feed = sketch(rows, spec.size)
        feed = {name: np.repeat(value, setting.batch, 0) for name, value in feed.items()}
        session = open_session(model, setting)
        turns = take_turns(lambda: session.run(None, feed), setting, rounds=rounds, seconds=seconds)
        shares = _profiled(model, feed, setting, rounds=rounds // 2 + 2)
    elif setting.backend == "eager" and device_of(setting).type == "cpu":
        prepared, images = prepared_with_images(spec, setting)
        turns = take_turns(lambda: prepared(images), setting, rounds=rounds, seconds=seconds)
        shares = _clocked(prepared, images, setting, rounds=rounds // 2 + 2)
    else:
        turns = take_turns(deployed(spec, setting)[0], setting, rounds=rounds, seconds=seconds)
    whole = median(turns.ratios)
    parts = tuple((row, share * whole) for row, share in shares)
    return Observed(spec.id, price(spec).macs, whole, amounts(rows, setting.batch), parts, median(turns.references))


_FUSED = {"swish": "silu", "relu": "relu", "hardtanh": "relu6", "hardswish": "hard_swish", "none": ""}
"""oneDNN's name of an activation that is fused into a convolution -> ours."""


class _Clock(fx.Interpreter):
    """Runs a graph and records the seconds of its operators."""

    def __init__(self, graph: fx.GraphModule, timed: Callable[[Call], float]) -> None:
        super().__init__(graph)
        self.timed = timed
        self.found: dict[str, Operator | str] = {}
        self.seconds: dict[str, float] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Run one node; time it if it computes."""
        if n.op != "call_function":
            return super().run_node(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        target: Any = n.target
        results: list[Tensor] = []
        self.seconds[n.name] = self.timed(lambda: results.append(target(*args, **kwargs)))
        if n.name not in self.found:
            name = str(target)
            self.found[n.name] = _convolution(args, results[0], name) if "conv" in name else group_of(name)
        return results[0]


def _convolution(args: Any, out: Tensor, target: str) -> Operator:
    """Return the operator of a convolution call, of aten.conv2d or of oneDNN's."""
    packed = "pointwise" in target
    strides, groups = (args[4], args[6]) if packed else ((*args, *_DEFAULTS[len(args) - 3 :])[i] for i in (3, 6))
    x, weight, made = ([int(size) for size in one.shape] for one in (args[0], args[1], out))
    return _shaped(x, weight, made, int(strides[0]), int(groups), _FUSED.get(args[7], "") if packed else "")


_DEFAULTS: tuple[Any, ...] = ([1], [0], [1], 1)
"""Defaults of aten.conv2d's stride, padding, dilation and groups."""


def _shaped(x: list[int], weight: list[int], out: list[int], stride: int, groups: int, after: str = "") -> Operator:
    source, target = (x[2], x[3]), (out[2], out[3])
    return Operator(
        "backbone", "conv", x[1], out[1], source, target, (weight[2], weight[3]), stride, groups, after=after
    )


@torch.no_grad()
def _clocked(prepared: Prepared, images: Tensor, setting: LatencySetting, *, rounds: int) -> list[Part]:
    clock, runs = _Clock(prepared.graph, timer(setting)), []
    for _ in range(rounds):
        clock.run(images)
        runs.append(dict(clock.seconds))
    return _shares(clock.found, runs[1:])


def group_of(name: str) -> str:
    """Return the group of `GROUPS` for a backend's operator name; rest where none fits."""
    return next((group for group, words in GROUPS.items() if any(word in name.lower() for word in words)), "rest")


def _shares(found: Mapping[str, Operator | str], runs: Sequence[Mapping[str, float]]) -> list[Part]:
    """Return the share of a run that each convolution and each group of other operators takes.

    Shares use each operator's shortest time, in which no other process had the processor; a share is the same on a
    slower machine.
    """
    shortest = {name: min(run[name] for run in runs) for name in runs[0]}
    total = sum(shortest.values())
    groups: Counter[str] = Counter()
    shares: list[Part] = []
    for name, what in found.items():
        if isinstance(what, Operator):
            shares.append((what, shortest[name] / total))
        else:
            groups[what] += shortest[name] / total  # type: ignore[assignment]
    return [*shares, *groups.items()]


def _profiled(model: bytes, feed: Any, setting: LatencySetting, *, rounds: int) -> list[Part]:
    """Return shares by ONNX Runtime's own clock. Convolutions with a fused activation count as plain convolutions."""
    with TemporaryDirectory() as folder:
        session = open_session(model, setting, profile=f"{folder}/profile")
        for _ in range(rounds):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text())
    runs: list[dict[str, float]] = [{} for _ in range(rounds)]
    seen: Counter[str] = Counter()
    found: dict[str, Operator | str] = {}
    for event in events:
        about = event.get("args", {})
        if "op_name" not in about or "node_index" not in about:
            continue
        index = about["node_index"]
        runs[seen[index]][index] = 1e-6 * event["dur"]
        seen[index] += 1
        found[index] = group_of(about["op_name"])
        if about["op_name"] == "Conv":
            x, weight, out = (
                next(iter(one.values())) for one in (*about["input_type_shape"][:2], *about["output_type_shape"])
            )
            found[index] = _shaped(x, weight, out, max(1, round(x[2] / out[2])), max(1, x[1] // weight[1]))
    return _shares(found, runs[1:])
