"""`operators`: a spec unrolled into the operators that run when the detector is used, in their order.

Their parameters, multiply-adds and activations sum to `cost.breakdown`, part by part. Imports arch only.
"""

from __future__ import annotations

from collections.abc import Iterator

from scalesearch.arch.backbone import EfficientNet, Stage, TimmBackbone
from scalesearch.arch.operator import Operator, Size
from scalesearch.arch.spec import DetectorSpec
from scalesearch.arch.topology import GATES, Node
from scalesearch.cost.price import squeeze


def operators(spec: DetectorSpec) -> tuple[Operator, ...]:
    """Every operator of a detector for one image. ValueError for a timm backbone not measured at this size."""
    match spec.backbone:
        case EfficientNet() as backbone:
            first = tuple(row for _, rows in stages(spec, backbone) for row in rows)
        case TimmBackbone() as backbone:
            first = _measured(spec, backbone)
        case _:
            raise AssertionError(f"{spec.backbone} is no backbone")
    class_outputs = spec.anchors.per_cell * spec.classes
    heads = (*_head(spec, "class_head", class_outputs), *_head(spec, "box_head", spec.anchors.per_cell * 4))
    return (*first, *_neck(spec), *heads)


def _halved(size: Size) -> Size:
    return -(-size[0] // 2), -(-size[1] // 2)


# ---- backbone ----


def _measured(spec: DetectorSpec, backbone: TimmBackbone) -> tuple[Operator, ...]:
    found = backbone.known.operators.get(spec.size)
    if found is None:
        raise ValueError(
            f"the operators of the backbone {backbone.name!r} at {spec.size[0]}x{spec.size[1]} are not known; "
            "call scalesearch.resolve(spec) first"
        )
    return found


def stages(spec: DetectorSpec, backbone: EfficientNet) -> Iterator[tuple[str, tuple[Operator, ...]]]:
    """The operators of an EfficientNet by the module that they are of: conv_stem, blocks.0, blocks.1, ..."""
    same, act = spec.backbone_same, spec.activation
    yield "conv_stem", tuple(_padded(3, backbone.stem, 3, spec.size, 2, 1, act, same))
    size, c_in = _halved(spec.size), backbone.stem
    for number, stage in enumerate(backbone.cut(spec.backbone_levels[-1])):
        rows: list[Operator] = []
        for i in range(stage.repeats):
            stride = stage.stride if i == 0 else 1
            rows += _block(stage, c_in, size, stride, act, same, squeezed=not backbone.lite)
            size, c_in = _halved(size) if stride == 2 else size, stage.channels
        yield f"blocks.{number}", tuple(rows)


def _block(
    stage: Stage, c_in: int, size: Size, stride: int, act: str, same: bool, *, squeezed: bool
) -> Iterator[Operator]:
    """An inverted residual: expand, depthwise, squeeze and excite, project, add."""
    middle = c_in * stage.expansion
    if stage.expansion != 1:
        yield _conv("backbone", c_in, middle, size, after=act)
    yield from _padded(middle, middle, stage.kernel, size, stride, middle, act, same)
    target = _halved(size) if stride == 2 else size
    if squeezed:
        inside, one = squeeze(c_in), (1, 1)
        yield Operator("backbone", "mean", middle, middle, target, one)
        yield _conv("backbone", middle, inside, one, after=act, bias=True, norm=False)
        yield _conv("backbone", inside, middle, one, after="sigmoid", bias=True, norm=False)
        yield Operator("backbone", "scale", middle, middle, target, target)
    yield _conv("backbone", middle, stage.channels, target)
    if stride == 1 and c_in == stage.channels:
        yield Operator("backbone", "add", c_in, c_in, target, target, inputs=2)


def _padded(
    c_in: int, c_out: int, kernel: int, size: Size, stride: int, groups: int, act: str, same: bool
) -> Iterator[Operator]:
    """A convolution, and before it the copy that TensorFlow's padding takes where its two sides differ."""
    target = _halved(size) if stride == 2 else size
    totals = [max((t - 1) * stride + kernel - s, 0) for s, t in zip(size, target, strict=True)]
    if same and any(total % 2 for total in totals):
        grown = size[0] + totals[0], size[1] + totals[1]
        yield Operator("backbone", "pad", c_in, c_in, size, grown)
        size = grown
    weights = kernel * kernel * c_in // groups * c_out
    yield Operator(
        "backbone",
        "conv",
        c_in,
        c_out,
        size,
        target,
        (kernel, kernel),
        stride,
        groups,
        after=act,
        params=weights + 2 * c_out,
    )


def _conv(
    part: str, c_in: int, c_out: int, size: Size, *, after: str = "", bias: bool = False, norm: bool = True
) -> Operator:
    """A 1x1 convolution, by default with a batch norm and without a bias."""
    params = c_in * c_out + bias * c_out + norm * 2 * c_out
    return Operator(part, "conv", c_in, c_out, size, size, after=after, params=params)


# ---- feature network ----


def _neck(spec: DetectorSpec) -> Iterator[Operator]:
    alive = _alive(spec)
    yield from _laterals(spec, alive[0])
    for i, live in enumerate(alive):
        for k, node in enumerate(spec.topology.nodes):
            yield from (row._replace(live=k in live) for row in _node(spec, node, first=i == 0))


def _alive(spec: DetectorSpec) -> list[set[int]]:
    """The nodes of each cell whose maps reach a head: not all do, where a cell does not read all its inputs."""
    topology, start = spec.topology, len(spec.levels)
    wanted, alive = set(range(start)), []
    for _ in range(spec.repeats):
        live: set[int] = {topology.outputs[i] for i in wanted}
        for k in range(start + len(topology.nodes) - 1, start - 1, -1):
            if k in live:
                live.update(topology.nodes[k - start].inputs)
        alive.append({k - start for k in live if k >= start})
        wanted = {k for k in live if k < start}
    return alive[::-1]


def _lateral(spec: DetectorSpec, level: int) -> Operator:
    size = spec.map_size(level)
    return _conv("neck", spec.backbone.channels(level), spec.width, size, bias=spec.bias_before_norm)


def _laterals(spec: DetectorSpec, live: set[int]) -> Iterator[Operator]:
    """The 1x1 convolutions of laterals: level, and the levels above the backbone's."""
    top, coarsest = spec.topology.max_level, spec.backbone_levels[-1]
    read = {i for node in spec.topology.nodes for i in node.inputs}
    used = {i for k in live for i in spec.topology.nodes[k].inputs}
    count = len(spec.backbone_levels)
    extra = top > coarsest
    made = any(i in used for i in range(count, len(spec.levels)))
    pooled = spec.extra_levels == "pool"
    if spec.laterals == "level":
        for i, level in enumerate(spec.backbone_levels):
            source = pooled and extra and level == coarsest
            if (i in read or source) and spec.has_lateral(level):
                yield _lateral(spec, level)._replace(live=i in used or (source and made))
    if extra and not pooled and spec.has_lateral(coarsest):
        yield _lateral(spec, coarsest)._replace(live=made)
    projected = spec.width if spec.has_lateral(coarsest) else spec.backbone.channels(coarsest)
    for level in range(coarsest + 1, top + 1):
        yield from (row._replace(live=made) for row in _resample(spec, projected, level - 1, level))


def _resample(spec: DetectorSpec, channels: int, source: int, target: int) -> Iterator[Operator]:
    here, there = spec.map_size(source), spec.map_size(target)
    if here == there:
        return
    if source > target:
        yield Operator("neck", spec.up, channels, channels, here, there)
    elif spec.down == "bilinear":
        yield Operator("neck", "bilinear", channels, channels, here, there)
    else:
        stride = 1 << (target - source)
        side = stride + (spec.down == "max")
        name = "avg_pool" if spec.down == "avg" else "max_pool"
        yield Operator("neck", name, channels, channels, here, there, (side, side), stride)


def _node(spec: DetectorSpec, node: Node, *, first: bool) -> Iterator[Operator]:
    width, size = spec.width, spec.map_size(node.level)
    own = first and spec.laterals == "edge"
    for number in node.inputs:
        level = spec.topology.level_of(number)
        if own and number < len(spec.backbone_levels) and spec.has_lateral(level):
            yield _lateral(spec, level)
        yield from _resample(spec, width, level, node.level)
    yield from _fusion(node, width, size)
    first_act = spec.order == "act_conv_norm"
    if first_act:
        yield Operator("neck", "activation", width, width, size, size, after=spec.activation)
    after = "" if first_act else spec.activation
    yield from _conv3(spec, "neck", width, width, size, bias=spec.bias_before_norm, norm=True, after=after)


def _fusion(node: Node, width: int, size: Size) -> Iterator[Operator]:
    edges = len(node.inputs)
    kind = {"sum": "fuse_sum", "softmax": "fuse_scalar", "fast": "fuse_scalar"}.get(node.fusion, "fuse_channel")
    if node.fusion in GATES:
        kind = "fuse_gate"
        yield Operator("neck", "amax" if node.fusion == "gate_max" else "mean", width, width, size, (1, 1))
    params = {"fuse_scalar": edges, "fuse_channel": edges * width}.get(kind, 0)
    yield Operator("neck", kind, width, width, size, size, inputs=edges, params=params)


def _conv3(
    spec: DetectorSpec,
    part: str,
    c_in: int,
    c_out: int,
    size: Size,
    *,
    bias: bool,
    norm: bool,
    after: str = "",
    shared: bool = False,
) -> Iterator[Operator]:
    """The 3x3 of a node or a head: depthwise then pointwise, or full. `shared`: its weights are counted elsewhere."""
    own = 0 if shared else 1
    extra = norm * 2 * c_out + own * bias * c_out
    if spec.separable:
        yield Operator(part, "conv", c_in, c_in, size, size, (3, 3), 1, c_in, params=own * 9 * c_in)
        yield Operator(part, "conv", c_in, c_out, size, size, after=after, params=own * c_in * c_out + extra)
    else:
        params = own * 9 * c_in * c_out + extra
        yield Operator(part, "conv", c_in, c_out, size, size, (3, 3), after=after, params=params)


# ---- heads ----


def _head(spec: DetectorSpec, part: str, outputs: int) -> Iterator[Operator]:
    """One head: its weights are shared by the levels, its norms are not."""
    sizes = [spec.map_size(level) for level in spec.levels]
    last = spec.head_width if spec.head_depth else spec.width
    for i, size in enumerate(sizes):
        c_in, shared = spec.width, i > 0
        for _ in range(spec.head_depth):
            yield from _conv3(
                spec,
                part,
                c_in,
                spec.head_width,
                size,
                bias=spec.bias_before_norm,
                norm=True,
                after=spec.activation,
                shared=shared,
            )
            c_in = spec.head_width
        if spec.separable:
            params = 0 if shared else 9 * last
            yield Operator(part, "conv", last, last, size, size, (3, 3), 1, last, params=params)
        else:
            yield from _conv3(spec, part, last, outputs, size, bias=True, norm=False, shared=shared)
    # Separable: the levels are joined before the last 1x1, which is one product. Full: after the last 3x3.
    cells = sum(h * w for h, w in sizes), 1
    joined = last if spec.separable else outputs
    yield Operator(part, "concat", joined, joined, cells, cells, inputs=1)
    if spec.separable:
        yield Operator(part, "product", last, outputs, cells, cells, params=last * outputs + outputs)
