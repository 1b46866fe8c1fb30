"""An ONNX graph made from a list of operators: the same shapes, nearly the same wiring, random weights.

Exporting a detector takes ten seconds or more, this a few milliseconds, so that many can be timed for a table. Each
operator reads the least read maps of its shape, the latest first. May import arch, and onnx (inside functions).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalesearch.arch.operator import Operator, Size

Shape = tuple[int, int, int]
OPSET = 20


class _OnnxGraph:
    """An ONNX graph under construction."""

    def __init__(self, size: Size) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self.inputs: dict[str, Shape] = {"images": (3, *size)}
        self.maps: dict[str, Shape] = {"images": (3, *size)}
        self.uses = {"images": 0}
        self.rng = np.random.default_rng(0)

    def constant(self, value: Any, kind: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value, dtype=kind)
        return name

    def weights(self, *shape: int) -> str:
        fan_in = int(np.prod(shape[1:])) or 1
        return self.constant(self.rng.standard_normal(shape, dtype=np.float32) / np.sqrt(fan_in))

    def take(self, shape: Shape, count: int = 1) -> list[str]:
        """Return the names of the `count` least read maps of a shape, latest first; new inputs for missing ones."""
        fitting = [name for name, own in reversed(self.maps.items()) if own == shape]
        found = sorted(fitting, key=lambda name: self.uses[name])[:count]
        while len(found) < count:
            name = f"more{len(self.inputs)}"
            self.inputs[name] = self.maps[name] = shape
            self.uses[name] = 0
            found.append(name)
        for name in found:
            self.uses[name] += 1
        return found

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def put(self, name: str, shape: Shape) -> None:
        self.maps[name], self.uses[name] = shape, 0


def sketch(rows: Sequence[Operator], size: Size) -> tuple[bytes, dict[str, NDArray[np.float32]]]:
    """Return the graph as a file's bytes, and random values for its inputs. ValueError for an unsupported operator."""
    graph = _OnnxGraph(size)
    for row in rows:
        if row.live:
            _draw(graph, row)
    rng = np.random.default_rng(1)
    feed = {name: rng.standard_normal((1, *shape), dtype=np.float32) for name, shape in graph.inputs.items()}
    return _bytes(graph), feed


def _bytes(graph: _OnnxGraph) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    read = {name for node in graph.nodes for name in node.input}
    ends = [node.output[0] for node in graph.nodes if node.output[0] not in read]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "sketch",
            [
                helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", *shape])
                for n, shape in graph.inputs.items()
            ],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ends],
            [numpy_helper.from_array(value, name) for name, value in graph.constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=10,
    )
    return bytes(model.SerializeToString())


def _draw(graph: _OnnxGraph, row: Operator) -> None:
    """Add one operator to the graph."""
    source, target = (row.c_in, *row.source), (row.c_out, *row.target)
    if row.name == "concat" and row.part != "backbone":
        _join(graph, row)
        return
    if row.name == "product":
        last = graph.add(
            "Gemm", graph.nodes[-1].output[0], graph.weights(row.c_in, row.c_out), graph.weights(row.c_out)
        )
        graph.add("Reshape", last, graph.constant([1, -1, row.c_out], np.int64))
        return
    drawn = _DRAWN.get(row.name)
    if drawn is None:
        raise ValueError(f"the operator {row.name} cannot be drawn")
    if row.name == "scale":
        inputs = [*graph.take(source), *graph.take((row.c_in, 1, 1))]
    elif row.name == "fuse_gate":
        inputs = [*graph.take((row.c_in, 1, 1)), *graph.take(source, row.inputs)]
    else:
        inputs = graph.take(source, row.inputs)
    out = drawn(graph, row, inputs)
    graph.put(_activated(graph, row.after, out) if row.name != "activation" else out, target)


def _pads(row: Operator) -> list[int]:
    totals = [max(0, (t - 1) * row.stride + k - s) for s, t, k in zip(row.source, row.target, row.kernel, strict=True)]
    return [totals[0] // 2, totals[1] // 2, totals[0] - totals[0] // 2, totals[1] - totals[1] // 2]


def _conv(graph: _OnnxGraph, row: Operator, inputs: list[str]) -> str:
    kernel = graph.weights(row.c_out, row.c_in // row.groups, *row.kernel)
    shape = {"kernel_shape": list(row.kernel), "strides": [row.stride] * 2, "pads": _pads(row), "group": row.groups}
    return graph.add("Conv", inputs[0], kernel, graph.weights(row.c_out), **shape)


def _pool(graph: _OnnxGraph, row: Operator, inputs: list[str]) -> str:
    name = "MaxPool" if row.name == "max_pool" else "AveragePool"
    return graph.add(name, inputs[0], kernel_shape=list(row.kernel), strides=[row.stride] * 2, pads=_pads(row))


def _resize(graph: _OnnxGraph, row: Operator, inputs: list[str]) -> str:
    # As in an exported detector: the batch size is unknown, which keeps ORT's blocked layout from it.
    first = graph.add("Shape", inputs[0], start=0, end=2)
    sizes = graph.add("Concat", first, graph.constant(row.target, np.int64), axis=0)
    if row.name == "nearest":
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    else:
        how = {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"}
    return graph.add("Resize", inputs[0], "", "", sizes, **how)


def _pad(graph: _OnnxGraph, row: Operator, inputs: list[str]) -> str:
    down, across = (t - s for s, t in zip(row.source, row.target, strict=True))
    amounts = [0, 0, down // 2, across // 2, 0, 0, down - down // 2, across - across // 2]
    return graph.add("Pad", inputs[0], graph.constant(amounts, np.int64))


def _mean(graph: _OnnxGraph, row: Operator, inputs: list[str]) -> str:
    total = graph.add("ReduceSum", inputs[0], graph.constant([2, 3], np.int64), keepdims=1)
    return graph.add("Div", total, graph.constant(float(row.source[0] * row.source[1])))


def _fused(graph: _OnnxGraph, row: Operator, inputs: list[str]) -> str:
    if row.name == "fuse_gate":
        gate, *inputs = inputs
        inputs[1] = graph.add("Mul", inputs[1], graph.add("Sigmoid", gate))
    elif row.name != "fuse_sum":
        shape = [1, row.c_in, 1, 1] if row.name == "fuse_channel" else []
        inputs = [graph.add("Mul", one, graph.constant(np.full(shape, 0.5))) for one in inputs]
    out = inputs[0]
    for one in inputs[1:]:
        out = graph.add("Add", out, one)
    return graph.add("Identity", out) if len(inputs) == 1 and row.name == "fuse_sum" else out


def _join(graph: _OnnxGraph, row: Operator) -> None:
    """Join the heads' maps of all levels, one cell per row."""
    ends = [name for name, shape in graph.maps.items() if graph.uses[name] == 0 and shape[0] == row.c_in]
    wanted, rows = row.source[0], []
    for name in reversed(ends):
        _, height, width = graph.maps[name]
        if height * width <= wanted:
            graph.uses[name], wanted = 1, wanted - height * width
            rows.append(graph.add("Transpose", name, perm=[0, 2, 3, 1]))
            rows[-1] = graph.add("Reshape", rows[-1], graph.constant([-1, row.c_in], np.int64))
    graph.add("Concat", *rows, axis=0)


def _activated(graph: _OnnxGraph, name: str, x: str) -> str:
    match name:
        case "":
            return x
        case "silu":
            return graph.add("Mul", x, graph.add("Sigmoid", x))
        case "relu6":
            return graph.add("Clip", x, graph.constant(0.0), graph.constant(6.0))
        case "hard_sigmoid":
            return graph.add("HardSigmoid", x, alpha=1 / 6)
        case "relu" | "hard_swish" | "sigmoid" | "gelu":
            return graph.add({"relu": "Relu", "hard_swish": "HardSwish", "sigmoid": "Sigmoid", "gelu": "Gelu"}[name], x)
    raise ValueError(f"the activation {name} cannot be drawn")


_DRAWN: dict[str, Any] = {
    "conv": _conv,
    "max_pool": _pool,
    "avg_pool": _pool,
    "nearest": _resize,
    "bilinear": _resize,
    "pad": _pad,
    "mean": _mean,
    "amax": lambda graph, row, inputs: graph.add("ReduceMax", inputs[0], graph.constant([2, 3], np.int64), keepdims=1),
    "scale": lambda graph, row, inputs: graph.add("Mul", *inputs),
    "add": lambda graph, row, inputs: graph.add("Add", *inputs),
    "activation": lambda graph, row, inputs: _activated(graph, row.after, inputs[0]),
    "fuse_sum": _fused,
    "fuse_scalar": _fused,
    "fuse_channel": _fused,
    "fuse_gate": _fused,
}
