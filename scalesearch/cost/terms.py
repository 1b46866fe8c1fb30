"""Sums over a graph, in symbols: numbers of channels at levels, which become figures once symbols and areas are known.

A term is a count of positions of a level times a product of symbols. Terms of a graph are found once and evaluated for any
size, width and depth, integers or NumPy arrays. Standard library and NumPy.

Conventions, stated once:
- macs: 1 multiply-add = 1. Convolutions count (a squeeze-and-excitation's too); bias, batch norm, activation, pooling,
  resizing and fusion do not. Papers on detectors call this FLOPs.
- params: trainable ones (batch norm's scale and shift, not its running statistics).
- activations: output elements of convolutions (Designing Network Design Spaces, sec. 3.1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from math import gcd
from typing import Any, NamedTuple

import numpy as np

from scalesearch.cost.graph import ONE, Graph, Map, Op

Terms = Counter[tuple[int, tuple[str, ...]]]
"""(pyramid level, names of symbols) -> count."""

Form = tuple[tuple[tuple[tuple[int, int], ...], tuple[tuple[int, tuple[str, ...]], ...]], ...]
"""Terms factored: sums of (count, level), each with the sum of (count, symbols) that it multiplies."""


class Sums(NamedTuple):
    """What adds up over operators."""

    params: Any
    macs: Any
    activations: Any
    norms: Any
    """Channels of batch norms."""


def weights(op: Op) -> tuple[int, tuple[str, ...]]:
    """Numbers in the kernel of a convolution, as a count of a product of symbols; 0 of anything else."""
    if op.name not in ("conv", "product"):
        return 0, ()
    count, symbols = op.kernel * op.kernel * op.target.channels, (op.target.symbol,)
    return (count, symbols) if op.depthwise else (count * op.source.channels, (op.source.symbol, *symbols))


@lru_cache(maxsize=2**16)
def of_op(op: Op) -> Sums:
    """What one operator adds, as terms."""
    params, macs, activations, norms = Terms(), Terms(), Terms(), Terms()
    count, symbols = weights(op)
    made = op.target
    if count:
        for level in made.levels:
            _add(macs, level, symbols, count)
            _add(activations, level, (made.symbol,), made.channels)
    if not op.shared:
        _add(params, ONE, symbols, count)
        _add(params, ONE, (made.symbol,), made.channels * op.bias)
    if op.norm:
        _add(norms, ONE, (made.symbol,), made.channels)
        _add(params, ONE, (made.symbol,), 2 * made.channels)
    _add(params, ONE, (op.learned[1],), op.learned[0])
    return Sums(params, macs, activations, norms)


def _add(terms: Terms, level: int, symbols: Iterable[str], count: int) -> None:
    if count:
        terms[level, tuple(sorted(filter(None, symbols)))] += count


@lru_cache(maxsize=2**16)
def _of_step(op: Op, times: str) -> tuple[tuple[int, int, tuple[str, ...], int], ...]:
    """What one step adds, as often as it is there: (place in `Sums`, level, symbols, count)."""
    return tuple(
        (i, level, tuple(sorted((*symbols, times))) if times else symbols, count)
        for i, terms in enumerate(sums(op.inner) if op.inner else of_op(op))
        for (level, symbols), count in terms.items()
    )


def sums(graph: Graph) -> Sums:
    """What a graph's operators add up to, as terms."""
    found = Sums(Terms(), Terms(), Terms(), Terms())
    for (op, times), number in Counter((step.op, step.times) for step in graph.steps).items():
        for i, level, symbols, count in _of_step(op, times):
            found[i][level, symbols] += number * count
    return found


def of_map(made: Map, times: str = "", count: int = 1) -> Terms:
    """The elements of a map."""
    terms = Terms()
    for level in made.levels:
        _add(terms, level, (made.symbol, times), count * made.channels)
    return terms


def factored(terms: Mapping[tuple[int, tuple[str, ...]], int]) -> Form:
    """Terms with what is at the same levels in the same proportions joined: fewer products to evaluate."""
    by_symbols: dict[tuple[str, ...], dict[int, int]] = {}
    for (level, symbols), count in terms.items():
        if count:
            by_symbols.setdefault(symbols, {})[level] = count
    joined: dict[tuple[tuple[int, int], ...], list[tuple[int, tuple[str, ...]]]] = {}
    for symbols, counts in by_symbols.items():
        common = gcd(*counts.values())
        key = tuple([(counts[level] // common, level) for level in sorted(counts)])
        joined.setdefault(key, []).append((common, symbols))
    return tuple((levels, tuple(products)) for levels, products in joined.items())


def evaluate(form: Form, areas: Mapping[int, Any], symbols: Mapping[str, Any]) -> Any:
    """A form as a number, or as an array where areas or symbols are arrays."""
    total: Any = 0
    for levels, products in form:
        channels: Any = 0
        for count, names in products:
            for name in names:
                count = count * symbols[name]
            channels = channels + count
        area: Any = 0
        for count, level in levels:
            area = area + count * areas[level]
        total = total + area * channels
    return total


def evaluate_once(terms: Terms, symbols: Mapping[str, int]) -> int:
    """Terms of one position each as a number."""
    total = 0
    for (_, names), count in terms.items():
        for name in names:
            count *= symbols[name]
        total += count
    return total


class Table:
    """Many terms at once, for integers: where symbols are another for every detector, and products many.

    An EfficientNet's sums of 155 products take 15 microseconds, one by one 140.
    """

    def __init__(self, rows: Sequence[Terms]) -> None:
        products = sorted({symbols for terms in rows for _, symbols in terms})
        most = max((1, *map(len, products)))
        self._names = sorted({name for symbols in products for name in symbols} | {""})
        index = {name: i for i, name in enumerate(self._names)}
        self._factors = np.array(
            [[index[name] for name in (*symbols, *[""] * (most - len(symbols)))] for symbols in products]
        ).T
        self._places = [(i, level) for i, terms in enumerate(rows) for level in sorted({level for level, _ in terms})]
        self._counts = np.array([[rows[i][level, symbols] for symbols in products] for i, level in self._places])
        self._rows = len(rows)

    def by_level(self, symbols: Mapping[str, int]) -> list[dict[int, int]]:
        """Each of the rows with the symbols put in: what its positions are multiplied by, by level."""
        values = np.array([symbols[name] for name in self._names])
        first, *others = self._factors
        products = values[first]
        for factor in others:
            products = products * values[factor]
        found: list[dict[int, int]] = [{} for _ in range(self._rows)]
        for (i, level), total in zip(self._places, (self._counts @ products).tolist(), strict=True):
            found[i][level] = total
        return found


def over(by_level: Mapping[int, Any], areas: Mapping[int, Any]) -> Any:
    """The sum over levels of what is at each of its positions."""
    return sum(count * areas[level] for level, count in by_level.items())
