"""Deployment of a trained detector: a graph without batch norms, in torch or as an ONNX file.

torch.export records the operations, so that every spec, timm's backbones included, is prepared alike. What depends only
on weights is computed once. A batch norm after a convolution is folded into its weights; a head's convolution, shared
by levels with a norm each, becomes one per level. On a CPU a convolution is fused with its activation. May import torch
and nn.
"""

from __future__ import annotations

import contextlib
import copy
import io
import math
import operator
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import Dim
from torch.fx.passes.shape_prop import ShapeProp

from scalesearch.arch.spec import DetectorSpec
from scalesearch.io.publish import publishing
from scalesearch.nn.backbone import one_line
from scalesearch.nn.detector import Detector, Outputs

_ATEN = torch.ops.aten
_CONV, _NORM, _LINEAR = _ATEN.conv2d.default, _ATEN.batch_norm.default, _ATEN.linear.default
_ACTIVATIONS: dict[Any, tuple[str, list[float]]] = {  # -> oneDNN's name and parameters
    _ATEN.silu_.default: ("swish", []),
    _ATEN.relu_.default: ("relu", []),
    _ATEN.relu6_.default: ("hardtanh", [0.0, 6.0]),
    _ATEN.hardswish_.default: ("hardswish", []),
}
_CHECKS = (_ATEN._assert_tensor_metadata.default,)
"""Nodes that only check."""


class Prepared(nn.Module):
    """A detector for inference only: the same outputs, no parameters to train."""

    def __init__(self, spec: DetectorSpec, graph: fx.GraphModule) -> None:
        super().__init__()
        self.spec, self.graph = spec, graph

    @torch.no_grad()
    def forward(self, images: Tensor) -> Outputs:
        """[B, 3, H, W], normalised, at the spec's size -> Outputs. ValueError for another size."""
        if tuple(images.shape[1:]) != (3, *self.spec.size):
            raise ValueError(
                f"this detector was prepared for images of {[3, *self.spec.size]}, but got {list(images.shape[1:])}; "
                "prepare it at that size"
            )
        return Outputs(*self.graph(images.contiguous(memory_format=torch.channels_last)))


def prepare(detector: Detector) -> Prepared:
    """Return a copy of `detector` for inference on its device: eval mode, norms folded, channels_last, any batch size.

    Its outputs differ from `detector.eval()`'s by rounding only. It cannot be moved or saved: save the detector, or
    `export_onnx`. Raises ValueError for a backbone that torch.export cannot record.
    """
    graph = folded(detector)
    some = next(detector.parameters())
    if some.device.type == "cpu" and some.dtype == torch.float32 and _has_onednn():
        _pack(graph, torch.zeros(1, 3, *detector.spec.size).contiguous(memory_format=torch.channels_last))
    return Prepared(detector.spec, graph)


def folded(detector: Detector) -> fx.GraphModule:
    """Return the operations of `detector` in eval mode, with constants computed and norms folded."""
    return _folded(_recorded(detector))


def export_onnx(detector: Detector, file: Path) -> None:
    """Write the prepared `detector` as an ONNX file: `images` [B, 3, H, W] -> `class_logits`, `box_deltas`.

    Needs the extra `onnx`. Raises ValueError as `prepare`, and ImportError where the extra is not installed.
    """
    images = torch.zeros(2, 3, *detector.spec.size, device=_device(detector))
    program = onnx_program(folded(detector), images, Outputs._fields)
    with publishing(file) as aside:
        program.save(str(aside))


def onnx_program(
    module: nn.Module, images: Tensor, outputs: Sequence[str], *, batch: int | None = None, opset: int | None = None
) -> torch.onnx.ONNXProgram:
    """Export `module` on `images` as an ONNX program, for any batch size or for exactly `batch` (that of `images`)."""
    # onnxscript 0.6 prints how many rules it applied.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        # The exporter's own warnings: operators that torchvision would add, conversions between versions.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            (images,),
            dynamo=True,
            verbose=False,
            dynamic_shapes=({0: Dim("batch", min=1)},) if batch is None else None,
            input_names=["images"],
            output_names=list(outputs),
            opset_version=opset,
        )
    assert program is not None
    return program


def _device(detector: Detector) -> torch.device:
    return next(detector.parameters()).device


def _recorded(detector: Detector) -> fx.GraphModule:
    """Record the graph of a copy in eval mode and channels_last."""
    model = copy.deepcopy(detector).eval().requires_grad_(False).to(memory_format=torch.channels_last)
    # Two images, since torch.export takes a batch of one for a constant.
    images = torch.zeros(2, 3, *detector.spec.size, dtype=next(model.parameters()).dtype, device=_device(detector))
    images = images.contiguous(memory_format=torch.channels_last)
    try:
        with torch.no_grad():
            program = torch.export.export(model, (images,), dynamic_shapes=({0: Dim("batch", min=1)},))
    except Exception as error:
        raise ValueError(
            f"a detector must be recordable by torch.export to be deployed, but {detector.spec.backbone.name} at "
            f"{detector.spec.size[0]}x{detector.spec.size[1]} failed with {one_line(error)[:400]}"
        ) from error
    return program.module(check_guards=False)


# ---- the graph ----


def _folded(module: fx.GraphModule) -> fx.GraphModule:
    """Compute constants and fold norms; return a graph that holds only the tensors that it reads."""
    graph = module.graph
    constants = _constants(module)
    for node in list(graph.nodes):
        if node.op == "call_function" and node.target in _CHECKS:
            graph.erase_node(node)
        elif _foldable(node, constants):
            _fold(module, node, constants)
    for node in list(graph.nodes):
        value = constants.get(node)
        if node.op == "call_function" and isinstance(value, Tensor) and any(u not in constants for u in node.users):
            _replace(module, node, value)
    graph.eliminate_dead_code()
    graph.lint()
    return fx.GraphModule(module, graph)


def _constants(module: fx.GraphModule) -> dict[fx.Node, Any]:
    """Return every node that depends on weights alone, with its value."""
    found: dict[fx.Node, Any] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            found[node] = operator.attrgetter(node.target)(module)
        elif _computable(node) and all(one in found for one in node.all_input_nodes):
            args, kwargs = fx.map_arg((node.args, node.kwargs), found.__getitem__)
            found[node] = node.target(*args, **kwargs)
    return found


def _computable(node: fx.Node) -> bool:
    return node.op == "call_function" and bool(node.all_input_nodes) and node.target not in _CHECKS


def _foldable(node: fx.Node, constants: dict[fx.Node, Any]) -> bool:
    """Whether the node is a batch norm, by running statistics, of a convolution that nothing else reads."""
    if node.op != "call_function" or node.target is not _NORM:
        return False
    conv, training = node.args[0], node.args[5]
    if not isinstance(conv, fx.Node) or conv.target is not _CONV or len(conv.users) > 1 or training:
        return False
    return all(one is None or one in constants for one in (*conv.args[1:3], *node.args[1:5]))


def _fold(module: fx.GraphModule, norm: fx.Node, constants: dict[fx.Node, Any]) -> None:
    """Fold the norm into its convolution: weights times the norm's factor, the bias through the norm."""

    def value(place: Any, default: float) -> Any:
        return default if place is None else constants[place].double()

    conv: Any = norm.args[0]
    scale, shift, mean, var = (value(*pair) for pair in zip(norm.args[1:5], (1.0, 0.0, 0.0, 1.0), strict=True))
    factor = scale * (var + norm.args[7]).rsqrt()
    kernel, bias = constants[conv.args[1]], value(conv.args[2] if len(conv.args) > 2 else None, 0.0)
    weights = (kernel.double() * factor[:, None, None, None]).to(kernel.dtype)
    offset = ((bias - mean) * factor + shift).to(kernel.dtype)
    with module.graph.inserting_before(conv):
        first = _stored(module, f"{norm.name}_weight", weights.contiguous(memory_format=torch.channels_last))
        second = _stored(module, f"{norm.name}_bias", offset)
        conv.args = (conv.args[0], first, second, *conv.args[3:])
    norm.replace_all_uses_with(conv)
    module.graph.erase_node(norm)


def _replace(module: fx.GraphModule, node: fx.Node, value: Tensor) -> None:
    with module.graph.inserting_before(node):
        node.replace_all_uses_with(_stored(module, f"{node.name}_value", value))


def _stored(module: fx.GraphModule, name: str, value: Tensor) -> fx.Node:
    """Store `value` as a buffer; return a node that reads it."""
    module.register_buffer(name, value)
    return module.graph.get_attr(name)


# ---- oneDNN ----


def _has_onednn() -> bool:
    return bool(torch._C._has_mkldnn) and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


@torch.no_grad()
def _pack(module: fx.GraphModule, images: Tensor) -> None:
    """Make each product, and each convolution with the activation after it, one oneDNN call on weights in its layout.

    torch.compile does the same on a CPU, but needs a compiler. D0 at 512 on one thread: 94 ms instead of 107. torch's
    own product writes the bias first and then adds to it: D0's class logits took 13.2 ms, oneDNN's take 6.7.
    """
    ShapeProp(module).propagate(images)
    for node in list(module.graph.nodes):
        if node.op == "call_function" and node.target in (_CONV, _LINEAR) and node.args[1].op == "get_attr":
            pack = _pack_conv if node.target is _CONV else _pack_linear
            pack(module, node)
    module.graph.eliminate_dead_code()
    module.graph.lint()
    module.recompile()


def _pack_conv(module: fx.GraphModule, conv: fx.Node) -> None:
    arguments: list[Any] = [*conv.args, *_DEFAULTS[len(conv.args) - 2 :]]
    x, weight, bias, stride, padding, dilation, groups = arguments
    kernel = operator.attrgetter(weight.target)(module)
    shape = list(x.meta["tensor_meta"].shape)
    packed = torch.ops.mkldnn._reorder_convolution_weight(kernel, padding, stride, dilation, groups, shape)
    users = list(conv.users)
    last = users[0] if len(users) == 1 and users[0].target in _ACTIVATIONS else conv
    activation = _ACTIVATIONS.get(last.target, ("none", []))
    with module.graph.inserting_before(conv):
        stored = _stored(module, f"{conv.name}_packed", packed)
        new = module.graph.call_function(
            torch.ops.mkldnn._convolution_pointwise.default,
            (x, stored, bias, padding, stride, dilation, groups, *activation, ""),
        )
    new.meta = dict(conv.meta)
    last.replace_all_uses_with(new)
    if last is not conv:
        module.graph.erase_node(last)
    module.graph.erase_node(conv)


def _pack_linear(module: fx.GraphModule, linear: fx.Node) -> None:
    x, weight, *bias = linear.args
    assert isinstance(x, fx.Node)
    assert isinstance(weight, fx.Node)
    kernel = operator.attrgetter(str(weight.target))(module)
    rows = math.prod(x.meta["tensor_meta"].shape[:-1])
    packed = torch.ops.mkldnn._reorder_linear_weight(kernel, rows)
    with module.graph.inserting_before(linear):
        stored = _stored(module, f"{linear.name}_packed", packed)
        new = module.graph.call_function(
            torch.ops.mkldnn._linear_pointwise.default, (x, stored, bias[0] if bias else None, "none", [], "")
        )
    new.meta = dict(linear.meta)
    linear.replace_all_uses_with(new)
    module.graph.erase_node(linear)


_DEFAULTS: tuple[Any, ...] = (None, [1, 1], [0, 0], [1, 1], 1)
"""Defaults of conv2d's arguments from the bias on."""
