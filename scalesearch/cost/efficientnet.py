"""An EfficientNet as a graph: timm's blocks as `nn/backbone.py` combines them, in the order in which they run."""

from __future__ import annotations

from typing import NamedTuple

from scalesearch.arch.backbone import STAGES, EfficientNet, Stage, squeeze
from scalesearch.cost.graph import ONE, Graph, Map


class Structure(NamedTuple):
    """The properties of an EfficientNet that determine its graph; channels do not."""

    lite: bool
    stages: int
    repeats: tuple[int, ...] = ()
    """Blocks of each stage; empty: open, so that the second block of stage i occurs `more<i>` times."""
    residual: tuple[bool, ...] = ()
    """Whether the first block of each stage adds its input to its result; empty if repeats are open, since sums do
    not depend on it."""


def structure(backbone: EfficientNet, level: int, most: int) -> Structure:
    """Return the structure up to a level, with at most `most` blocks of a stage; 0: open."""
    stages = backbone.cut(level)
    if not most:
        return Structure(backbone.lite, len(stages))
    before = (backbone.stem, *(stage.channels for stage in stages))
    # There is a residual connection only at stride 1 and equal channels.
    residual = tuple(stage.stride == 1 and stage.channels == c for stage, c in zip(stages, before, strict=False))
    return Structure(backbone.lite, len(stages), tuple(min(stage.repeats, most) for stage in stages), residual)


def graph(structure: Structure, levels: range, activation: str) -> Graph:
    """Return the graph whose outputs are the maps of `levels`, finest first.

    Symbols: c for the stem's channels, c0, c1, ... for those of the stages, and `squeeze <symbol>` for the squeezed
    channels of each.
    """
    graph, x = _stem(activation)
    ends: dict[int, int] = {}
    for i, stage in enumerate(STAGES[: structure.stages]):
        level = graph.maps[x].levels[0] + (stage.stride == 2)
        graph.part, made = f"backbone.blocks.{i}", Map((level,), 1, f"c{i}")
        for k in range(structure.repeats[i] if structure.repeats else 2):
            graph.times = f"more{i}" if k and not structure.repeats else ""
            added = k > 0 or (bool(structure.residual) and structure.residual[i])
            x = _block(graph, x, stage, made, activation, squeezed=not structure.lite, first=k == 0, added=added)
        ends[level] = x
    graph.outputs = [ends[level] for level in levels]
    return graph


def _stem(activation: str) -> tuple[Graph, int]:
    graph = Graph(part="backbone.conv_stem")
    return graph, graph.conv(graph.start((0,), 3), Map((1,), 1, "c"), kernel=3, stride=2, norm=True, after=activation)


def segments(structure: Structure, activation: str) -> tuple[Graph, list[list[Graph]]]:
    """Return the stem alone, and the blocks of each stage alone: those of `structure.repeats`."""
    stem, x = _stem(activation)
    stem.outputs = [x]
    source, found = stem.maps[x], list[list[Graph]]()
    for i, stage in enumerate(STAGES[: structure.stages]):
        level, blocks = source.levels[0] + (stage.stride == 2), list[Graph]()
        for k in range(structure.repeats[i]):
            graph, made = Graph(), Map((level,), 1, f"c{i}")
            added, squeezed = k > 0 or structure.residual[i], not structure.lite
            start = graph.start(*source)
            graph.outputs = [
                _block(graph, start, stage, made, activation, squeezed=squeezed, first=k == 0, added=added)
            ]
            blocks.append(graph)
            source = made
        found.append(blocks)
    return stem, found


def _block(
    graph: Graph, x: int, stage: Stage, made: Map, activation: str, *, squeezed: bool, first: bool, added: bool
) -> int:
    """Add an inverted residual: expand, depthwise, squeeze and excite, project, add."""
    shortcut, source = x, graph.maps[x]
    middle = source._replace(channels=source.channels * stage.expansion)
    if stage.expansion != 1:
        x = graph.conv(x, middle, norm=True, after=activation)
    inside = made._replace(channels=middle.channels, symbol=middle.symbol)
    stride = stage.stride if first else 1
    x = graph.conv(x, inside, kernel=stage.kernel, stride=stride, depthwise=True, norm=True, after=activation)
    if squeezed:
        x = _excite(graph, x, f"squeeze {source.symbol}", activation)
    x = graph.conv(x, made, norm=True)
    return graph.add("add", (x, shortcut), made) if added else x


def _excite(graph: Graph, x: int, squeezed: str, activation: str) -> int:
    """Add squeeze-and-excitation: each channel is scaled by what two convolutions compute from all means."""
    whole = graph.maps[x]
    pooled = whole._replace(levels=(ONE,))
    vector = graph.add("mean", (x,), pooled)
    vector = graph.conv(vector, Map((ONE,), 1, squeezed), bias=True, after=activation)
    vector = graph.conv(vector, pooled, bias=True, after="sigmoid")
    return graph.add("scale", (x, vector), whole)


_SYMBOLS = tuple((f"c{i}", f"squeeze c{i}", f"more{i}") for i in range(len(STAGES)))


def symbols(backbone: EfficientNet, level: int) -> dict[str, int]:
    """Return the values of the symbols of an EfficientNet cut at a level."""
    found = {"": 1, "c": backbone.stem, "squeeze c": squeeze(backbone.stem)}
    for (channels, squeezed, more), stage in zip(_SYMBOLS, backbone.cut(level), strict=False):
        found[channels] = stage.channels
        found[squeezed] = squeeze(stage.channels)
        found[more] = stage.repeats - 1
    return found
