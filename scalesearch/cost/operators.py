"""`operators`: a spec unrolled into the operators of the deployed detector, in the order in which they run.

They are the graphs of `network.py` and `backbones.py`, evaluated for the spec. Parameters, multiply-adds and
activations sum to `price.breakdown`, part by part. Imports `arch`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

from scalesearch.arch.backbone import TimmBackbone
from scalesearch.arch.operator import Operator, Size
from scalesearch.arch.spec import DetectorSpec
from scalesearch.arch.structure import RESAMPLINGS, HeadStructure, NeckStructure
from scalesearch.cost import network
from scalesearch.cost.backbones import CLOSED_FORM, WHOLE, ClosedForm
from scalesearch.cost.dimensions import dimensions_of
from scalesearch.cost.graph import ONE, Graph, Op, Step
from scalesearch.cost.price import symbols_of
from scalesearch.cost.terms import evaluate_once, of_op


def operators(spec: DetectorSpec) -> tuple[Operator, ...]:
    """Return every operator of a detector for one image. ValueError for a timm backbone not measured at this size."""
    match spec.backbone:
        case TimmBackbone() as backbone:
            first = _measured(spec, backbone)
        case _:
            first = tuple(one for _, some in modules(spec) for one in some)
    projected = tuple(spec.has_lateral(level) for level in spec.backbone_levels)
    found = *_neck(spec.neck, projected, spec.repeats), *_heads(spec.heads, spec.head_depth)
    return (*first, *_concrete(found, spec, symbols_of(spec, dimensions_of(spec))))


def modules(spec: DetectorSpec) -> Iterator[tuple[str, tuple[Operator, ...]]]:
    """Yield the operators of a backbone with a closed form, by module: conv_stem, blocks.0, ..."""
    form, levels = CLOSED_FORM[type(spec.backbone)], spec.backbone_levels
    symbols = form.symbols(spec.backbone, levels[-1])
    found = _backbone(form, form.structure(spec.backbone, levels[-1], WHOLE), levels, spec.activation)
    for part, some in groupby(found, key=lambda one: one.op.part):
        yield part.removeprefix("backbone."), tuple(_concrete(some, spec, symbols))


class _Use(NamedTuple):
    """An operator of a graph in its place."""

    op: Op
    inputs: int
    """The number of maps that are read."""
    live: bool


@lru_cache(maxsize=256)
def _neck(structure: NeckStructure, projected: tuple[bool, ...], repeats: int) -> tuple[_Use, ...]:
    graph = network.neck(structure, repeats, projected).flat()
    return _uses(graph, graph.live())


@lru_cache(maxsize=256)
def _heads(structure: HeadStructure, depth: int) -> tuple[_Use, ...]:
    """Return the operators of both heads, which are all live, since the heads read every level."""
    graph = network.heads(structure, network.levels(structure), depth)
    return _uses(graph, graph.live())


@lru_cache(maxsize=256)
def _backbone(form: ClosedForm, structure: Hashable, levels: range, activation: str) -> tuple[_Use, ...]:
    graph = form.graph(structure, levels, activation)
    return _uses(graph, [True] * len(graph.steps))


def _uses(graph: Graph, live: list[bool]) -> tuple[_Use, ...]:
    return tuple(_Use(step.op, _inputs(graph, step), used) for step, used in zip(graph.steps, live, strict=True))


def _measured(spec: DetectorSpec, backbone: TimmBackbone) -> tuple[Operator, ...]:
    found = backbone.known.operators.get(spec.size)
    if found is None:
        raise ValueError(
            f"the operators of the backbone {backbone.name!r} at {spec.size[0]}x{spec.size[1]} are not known; "
            "call scalesearch.resolve(spec) first"
        )
    return found


def _concrete(uses: Iterable[_Use], spec: DetectorSpec, symbols: Mapping[str, int]) -> Iterator[Operator]:
    known: dict[Op, tuple[Operator, ...]] = {}
    for op, inputs, live in uses:
        if op not in known:
            known[op] = tuple(_operators(op, spec, symbols))
        for one in known[op]:
            yield one if live and inputs == one.inputs else one._replace(inputs=inputs, live=live)


def _operators(op: Op, spec: DetectorSpec, symbols: Mapping[str, int]) -> Iterator[Operator]:
    """Yield no operator for a resampling between maps of equal size (of a tiny image), two if padding needs a copy."""
    source, target = _size(spec.size, op.source.levels), _size(spec.size, op.target.levels)
    if op.name in RESAMPLINGS and source == target:
        return
    part, c_in = op.part.partition(".")[0], op.source.channels * symbols[op.source.symbol]
    if op.kernel > 1 and part == "backbone" and spec.backbone_same and (grown := _grown(op, source, target)):
        yield Operator(part, "pad", c_in, c_in, source, grown)
        source = grown
    yield Operator(
        part,
        op.name,
        c_in,
        op.target.channels * symbols[op.target.symbol],
        source,
        target,
        (op.kernel, op.kernel),
        op.stride,
        c_in if op.depthwise else 1,
        after=op.after,
        params=evaluate_once(of_op(op).params, symbols),
    )


@lru_cache(maxsize=4096)
def _size(image: Size, levels: tuple[int, ...]) -> Size:
    """Return (h, w) of a map; a map of several levels is one column of all positions."""
    if levels == (ONE,):
        return 1, 1
    sizes = [(-(-image[0] >> level), -(-image[1] >> level)) for level in levels]
    return sizes[0] if len(sizes) == 1 else (sum(h * w for h, w in sizes), 1)


def _inputs(graph: Graph, step: Step) -> int:
    """Return the number of maps that are read, without a gate's vector; concatenated levels count as one."""
    return max(1, sum(graph.maps[x].levels == step.op.source.levels for x in step.reads))


def _grown(op: Op, source: Size, target: Size) -> Size | None:
    """Return the padded size if TensorFlow's padding is uneven and therefore needs a copy; otherwise None."""
    totals = [max((t - 1) * op.stride + op.kernel - s, 0) for s, t in zip(source, target, strict=True)]
    return (source[0] + totals[0], source[1] + totals[1]) if any(total % 2 for total in totals) else None
