"""Are graphs what they claim to be? Decoding, identity and prices, checked on many; writes results/checks/graphs.txt.

    python benchmarks/check_graphs.py            # about 4 minutes on one core
    python benchmarks/check_graphs.py --share 0.01 --out /tmp/graphs.txt

1. Random gene vectors decode to valid topologies. 2. Relabelled graphs keep their id. 3. All pairs of small graphs
share an id exactly when they are isomorphic, by an independent test that tries every permutation. 4. The price of a
graph is what the built module really has and does, and its forward pass gives the promised shapes.
"""

from __future__ import annotations

import argparse
import dataclasses
import platform
import random
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations_with_replacement, permutations, product
from pathlib import Path

import numpy as np
import torch

from scalesearch.arch.backbone import EfficientNet
from scalesearch.arch.canonical import canonical
from scalesearch.arch.genes import Genes
from scalesearch.arch.scaling import named
from scalesearch.arch.spec import CHOICES, DetectorSpec
from scalesearch.arch.topology import FUSIONS, GATES, Node, Topology
from scalesearch.nn.detector import build
from scalesearch.profile.price_check import mismatch

SPANS = ((3, 7), (3, 6), (2, 5), (2, 8), (4, 7), (3, 4))
SEED = 0


def random_graph(rng: random.Random, most: int = 24) -> Topology:
    """A graph of random genes: any span of SPANS, up to `most` nodes, up to 4 inputs each, any fusions."""
    low, high = rng.choice(SPANS)
    fusions = tuple(rng.sample(FUSIONS, rng.randint(1, len(FUSIONS))))
    genes = Genes(
        levels=(low, high), nodes=rng.randint(high - low + 1, most), inputs=rng.randint(1, 4), fusions=fusions
    )
    return genes.decode({name: rng.randrange(choices) for name, choices in genes.axes.items()})


def relabelled(topology: Topology, rng: random.Random) -> Topology:
    """The same graph under another numbering, with the inputs of each node in another order where order is free."""
    start, nodes = len(topology.levels), topology.nodes
    number = {i: i for i in range(start)}
    while len(number) < start + len(nodes):
        left = [i for i in range(start, start + len(nodes)) if i not in number]
        busy = {level: sum(nodes[i - start].level == level for i in left) for level in topology.levels}
        ready = [
            i
            for i in left
            if all(j in number for j in nodes[i - start].inputs)
            and (i not in topology.outputs or busy[nodes[i - start].level] == 1)
        ]
        number[rng.choice(ready)] = len(number)
    moved = []
    for old in sorted(number, key=lambda i: number[i])[start:]:
        node = nodes[old - start]
        inputs = [number[j] for j in node.inputs]
        kept = 2 if node.fusion in GATES else 0
        moved.append(Node(node.level, (*inputs[:kept], *rng.sample(inputs[kept:], len(inputs) - kept)), node.fusion))
    return Topology(topology.min_level, topology.max_level, tuple(moved))


def small_graphs(levels: int, nodes: int, fusions: Sequence[str], edges: int) -> Iterator[Topology]:
    """Every valid node list of exactly `nodes` nodes over `levels` levels from 3 on with at most `edges` edges.

    A node reads one or two of the maps before it, the same one twice too; a gate reads an ordered pair.
    """
    for rows in _rows(levels, nodes, fusions, edges, ()):
        if len({row[0] for row in rows}) == levels and _all_alive(levels, rows):
            yield Topology(3, 2 + levels, tuple(Node(3 + level, inputs, fusion) for level, inputs, fusion in rows))


Row = tuple[int, tuple[int, ...], str]


def _rows(
    levels: int, nodes: int, fusions: Sequence[str], edges: int, rows: tuple[Row, ...]
) -> Iterator[tuple[Row, ...]]:
    left = nodes - len(rows)
    if not left:
        yield rows
        return
    maps = range(levels + len(rows))
    for fusion in fusions:
        reads = (
            list(product(maps, repeat=2)) if fusion in GATES else [*zip(maps), *combinations_with_replacement(maps, 2)]
        )
        for inputs in reads:
            if len(inputs) + left - 1 <= edges:
                for level in range(levels):
                    row = (level, tuple(inputs), fusion)
                    yield from _rows(levels, nodes, fusions, edges - len(inputs), (*rows, row))


def _all_alive(levels: int, rows: Sequence[Row]) -> bool:
    """Whether each node reaches an output; here to skip the others quickly, Topology checks it again."""
    alive = set({row[0]: i for i, row in enumerate(rows, levels)}.values())
    for i in range(levels + len(rows) - 1, levels - 1, -1):
        if i not in alive:
            return False
        alive.update(rows[i - levels][1])
    return True


def by_permutations(topology: Topology) -> tuple[tuple[object, ...], ...]:
    """A complete invariant without any cleverness: the smallest description over all permutations of the nodes.

    Each node is (level, whether it is the output, fusion, inputs), an isomorphism keeps the first three: so only
    nodes that agree in them are permuted, by all permutations.
    """
    start, nodes = len(topology.levels), topology.nodes
    kinds: dict[tuple[int, bool, str], list[int]] = {}
    for i, node in enumerate(nodes, start):
        kinds.setdefault((node.level, i in topology.outputs, node.fusion), []).append(i)
    order = sorted(kinds)
    best: tuple[tuple[object, ...], ...] | None = None
    for shuffled in product(*(permutations(kinds[kind]) for kind in order)):
        line = [i for group in shuffled for i in group]
        number = {**{i: i for i in range(start)}, **{i: start + k for k, i in enumerate(line)}}
        rows = []
        for i in line:
            node = nodes[i - start]
            inputs = [number[j] for j in node.inputs]
            kept = 2 if node.fusion in GATES else 0
            head = (node.level, i in topology.outputs, node.fusion)
            rows.append((*head, *inputs[:kept], *sorted(inputs[kept:])))
        best = tuple(rows) if best is None or tuple(rows) < best else best
    assert best is not None, "a topology has nodes"
    return best


def check_decoding(count: int) -> str:
    """Decodes, rebuilds and runs the checks of `count` random graphs; a line on them."""
    rng, sizes, ids = random.Random(SEED), set(), set()
    for _ in range(count):
        topology = random_graph(rng)
        again = Topology(topology.min_level, topology.max_level, topology.nodes)
        assert again == topology and {topology.level_of(i) for i in topology.outputs} == set(topology.levels)
        sizes.add(len(topology.nodes))
        ids.add(canonical(topology))
    return f"{count} random gene vectors, {count} valid topologies of {min(sizes)} to {max(sizes)} nodes, {len(ids)} distinct"


def check_relabelling(count: int) -> str:
    """Relabels `count` random graphs; a line on how many kept their id."""
    rng, same, moved = random.Random(SEED + 1), 0, 0
    for _ in range(count):
        topology = random_graph(rng)
        other = relabelled(topology, rng)
        specs = [dataclasses.replace(named("d0"), topology=graph) for graph in (topology, other)]
        same += specs[0].id == specs[1].id
        moved += other != topology
    assert same == count, f"{count - same} graphs changed their id"
    return f"{count} relabelled graphs ({moved} of them written differently), {same} kept their id"


SMALL = (
    (2, 2, ("sum", "fast", "gate_max"), 4),
    (2, 3, ("sum", "gate_max"), 6),
    (2, 4, ("sum",), 8),
    (3, 4, ("sum",), 5),
    (2, 5, ("sum",), 7),
    (3, 5, ("sum",), 5),
)
"""Levels, nodes, fusions and edges of the small graphs: all of 2 to 4 nodes with one or two edges into each over two
levels, and as many over three levels and of 5 nodes as a few minutes allow."""


def check_pairs(share: float, small: Sequence[tuple[int, int, Sequence[str], int]] = SMALL) -> list[str]:
    """Compares two partitions of the small graphs, by id and by permutations; a line for each kind of graph."""
    lines = []
    for levels, nodes, fusions, edges in small:
        rng, start = random.Random(SEED + 2), time.perf_counter()
        by_id: dict[Topology, tuple[object, ...]] = {}
        by_form: dict[tuple[object, ...], Topology] = {}
        count = 0
        for topology in small_graphs(levels, nodes, fusions, edges):
            if share < 1 and rng.random() >= share:
                continue
            count += 1
            form, own = canonical.__wrapped__(topology), by_permutations(topology)
            # One id for each form and one form for each id: then any two graphs agree in both or in neither.
            assert by_id.setdefault(form, own) == own, f"two graphs share an id but are not isomorphic: {topology}"
            assert by_form.setdefault(own, form) == form, f"two isomorphic graphs have different ids: {topology}"
        lines.append(
            f"{levels} levels, {nodes} nodes, {'/'.join(fusions)}, up to {edges} edges: {count} graphs, "
            f"{count * (count - 1) // 2} pairs, {len(by_id)} classes; id and isomorphism agree in all "
            f"({time.perf_counter() - start:.0f} s)"
        )
    return lines


def check_prices(count: int) -> str:
    """Prices `count` detectors of random graphs and counts their built modules; a line on them."""
    rng, most = random.Random(SEED + 3), 0
    for i in range(count):
        spec = random_detector(rng)
        if wrong := mismatch(spec):
            raise AssertionError(f"graph {i}: {wrong}: {spec}")
        check_shapes(spec)
        most = max(most, len(spec.topology.nodes))
    return (
        f"{count} detectors of random graphs (up to {most} nodes): each price is its module's count, shapes as promised"
    )


def random_detector(rng: random.Random) -> DetectorSpec:
    """A random graph in a small detector of random size, width and options."""
    words = {name: rng.choice(choices) for name, choices in CHOICES.items()}
    if words["extra_levels"] == "pool":
        words["laterals"] = "level"
    width = 8 * rng.randint(1, 8)
    return DetectorSpec(
        size=(rng.randint(64, 200), rng.randint(64, 200)),
        classes=rng.randint(1, 20),
        backbone=EfficientNet(width=0.25, depth=0.3),
        topology=random_graph(rng, 12),
        repeats=rng.choice((1, 1, 2)),
        width=width,
        head_width=width,
        head_depth=rng.randint(0, 2),
        bias_before_norm=rng.random() < 0.5,
        lateral_at_equal_width=rng.random() < 0.5,
        separable=rng.random() < 0.7,
        **words,
    )


def check_shapes(spec: DetectorSpec) -> None:
    """The neck's maps and the detector's outputs, really computed, have the sizes that the spec promises."""
    with torch.inference_mode():
        detector = build(spec).eval()
        images = torch.zeros(2, 3, *spec.size)
        maps = detector.neck(detector.backbone(images))
        outputs = detector(images)
    sizes = [spec.map_size(level) for level in spec.levels]
    assert [tuple(x.shape) for x in maps] == [(2, spec.width, h, w) for h, w in sizes]
    boxes = spec.anchors.per_cell * sum(h * w for h, w in sizes)
    assert outputs.class_logits.shape == (2, boxes, spec.classes) and outputs.box_deltas.shape == (2, boxes, 4)


def cpu() -> str:
    """The processor's name, where Linux tells it."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        if info.exists()
        else []
    )
    return names[0] if names else platform.processor()


def main() -> None:
    """Runs all checks and writes what they found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the full counts")
    parser.add_argument("--out", type=Path, default=Path("results/checks/graphs.txt"))
    args = parser.parse_args()
    torch.set_num_threads(1)

    def some(count: int) -> int:
        return max(1, round(args.share * count))

    versions = f"python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}"
    lines = [f"python benchmarks/check_graphs.py: seed {SEED}, {versions}, one thread of {cpu()}"]
    checks: list[Callable[[], list[str]]] = [
        lambda: [check_decoding(some(10_000))],
        lambda: [check_relabelling(some(1_000))],
        lambda: check_pairs(args.share),
        lambda: [check_prices(some(300))],
    ]
    for check in checks:
        start = time.perf_counter()
        found = check()
        lines += [*found[:-1], f"{found[-1]} [{time.perf_counter() - start:.1f} s]"]
        print("\n".join(lines[-len(found) :]), flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
