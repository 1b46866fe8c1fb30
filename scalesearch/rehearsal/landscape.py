"""Synthetic landscape: the AP of any detector at any epoch, as a pure function of spec and seed.

It models no data set. It has what makes a search hard, in stated amounts: accuracy saturates in the cost, the cost has
an optimal distribution over the parts, axes interact, a residual is explained by no axis, expensive detectors learn
slowly so that cheap ones lead early, and seeds differ. docs/rehearsal.md has the formula; a test checks its facts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from scalesearch.arch.spec import DetectorSpec
from scalesearch.arch.topology import Topology
from scalesearch.cost.price import breakdown
from scalesearch.io.hashes import hashed_integer


@dataclass(frozen=True, kw_only=True)
class Landscape:
    """Accuracy of a detector, its speed of learning, and the noise of its evaluations."""

    macs: float
    """Middle of the band; cost is relative to it."""
    epochs: int
    """Epochs of a full training."""
    noise: float = 0.02
    """Standard deviation of AP between seeds, constant along a curve."""
    wobble: float = 0.005
    """Standard deviation of AP along a curve, in addition to that between seeds; correlated between near epochs."""
    slowness: float = 1.0
    """The time constant of learning grows with this power of the cost."""
    temper: float = 0.15
    """Standard deviation of the logarithm of that time constant between detectors of equal cost and shape."""

    def truth(self, spec: DetectorSpec) -> float:
        """Return the AP after full training, without noise."""
        return max(0.01, _accuracy(spec, self.macs) + 0.008 * _normal(spec.id, "residual"))

    def pace(self, spec: DetectorSpec) -> float:
        """Return the time constant of learning, as a share of full training."""
        dear = self.slowness * math.log(_features(spec).macs / self.macs)
        deep = 0.06 * (spec.repeats - 2) + 0.03 * (spec.head_depth - 2)
        return 0.22 * math.exp(dear + deep + self.temper * _normal(spec.id, "pace"))

    def share(self, spec: DetectorSpec, epoch: int) -> float:
        """Return the share of its final AP that the detector has after `epoch` epochs, without noise."""
        pace = self.pace(spec)
        return math.expm1(-epoch / self.epochs / pace) / math.expm1(-1 / pace)

    def ap(self, spec: DetectorSpec, seed: int, epoch: int) -> float:
        """Return the AP that an evaluation after `epoch` epochs observes."""
        chance = self.noise * _normal(spec.id, seed) + self.wobble * self._wobble(spec.id, seed, epoch)
        return max(0.0, self.truth(spec) * self.share(spec, epoch) + chance)

    def seconds(self, spec: DetectorSpec, seed: int, epochs: int) -> float:
        """Return the time of `epochs` epochs: proportional to the multiply-adds, plus a fixed part."""
        return epochs * (0.2 + _features(spec).macs / self.macs)

    def _wobble(self, spec_id: str, seed: int, epoch: int) -> float:
        """Return standard normal noise, correlated between epochs by exp(-distance / a tenth of the training)."""
        place = 10 * epoch / self.epochs
        left, right = math.floor(place), math.floor(place) + 1
        a, b = (_normal(spec_id, seed, "wobble", i) for i in (left, right))
        far = place - left
        return ((1 - far) * a + far * b) / math.hypot(1 - far, far)


LANDSCAPES: dict[str, dict[str, float]] = {
    "plain": {},
    "crossing": {"slowness": 1.6, "temper": 0.4},
    "noisy": {"noise": 0.04, "wobble": 0.01},
}
"""Landscapes by name: the fields that differ from the defaults."""


class _Features(NamedTuple):
    """The features of a spec that its accuracy depends on."""

    macs: int
    size: float
    neck: float
    """Log of the ratio of the feature network's multiply-adds to the backbone's."""
    head: float
    """Log of the ratio of the heads' multiply-adds to the backbone's."""
    slender: float
    """Log of the ratio of the feature network's depth (cells times nodes a level) to its width."""
    mixing: float
    """Share of the pairs of levels where, in one cell, the second level's output depends on the first level's input."""
    skips: float
    """Mean number of edges into a node beyond the two of a chain."""


@lru_cache(maxsize=100_000)
def _features(spec: DetectorSpec) -> _Features:
    parts = breakdown(spec)
    heads = parts.class_head.macs + parts.box_head.macs
    nodes = len(spec.topology.nodes) / len(spec.levels)
    mixing, skips = _wiring(spec.topology)
    return _Features(
        macs=parts.total.macs,
        size=math.sqrt(spec.size[0] * spec.size[1]),
        neck=math.log(max(parts.neck.macs, 1) / parts.backbone.macs),
        head=math.log(max(heads, 1) / parts.backbone.macs),
        slender=math.log(spec.repeats * nodes / spec.width),
        mixing=mixing,
        skips=skips,
    )


@lru_cache(maxsize=4096)
def _wiring(topology: Topology) -> tuple[float, float]:
    levels = list(topology.levels)
    reads = [{level} for level in levels]
    for node in topology.nodes:
        reads.append(set().union(*(reads[i] for i in node.inputs)))
    pairs = sum(len(reads[i]) for i in topology.outputs)
    edges = sum(len(node.inputs) for node in topology.nodes) / len(topology.nodes)
    return pairs / len(levels) ** 2, max(0.0, edges - 2)


@lru_cache(maxsize=100_000)
def _accuracy(spec: DetectorSpec, macs: float) -> float:
    """Return the AP that the cost allows, minus the loss by a wrong distribution of it, plus the gain by the graph."""
    features = _features(spec)
    scale = math.log(features.macs / macs)
    allowed = 0.60 * (1 - 0.35 * math.exp(-0.35 * scale))
    large = math.log(features.size / 256) - 0.25 * scale  # the best size grows with the fourth root of the cost
    neck, head, slender = features.neck + 1.2, features.head + 0.9, features.slender + 2.8
    lost = 0.15 * large**2 + 0.025 * neck**2 + 0.025 * head**2 + 0.020 * slender**2
    # A large image needs a deep feature network, which mixes its levels; heavy heads compensate for a light neck.
    lost += 0.03 * large * neck - 0.015 * neck * head
    graph = 0.05 * (features.mixing - 0.6) + 0.012 * features.skips - 0.03 * (features.mixing - 0.6) * max(0.0, neck)
    fine = 0.015 * (3 - spec.topology.min_level) * (1 if large < 0 else -1)  # level 2 compensates for a small image
    return allowed - lost + graph + fine


@lru_cache(maxsize=1_000_000)
def _normal(*of: str | int) -> float:
    """Return a standard normal number determined by these names."""
    return float(np.random.default_rng(hashed_integer("/".join(map(str, of)))).standard_normal())


class LandscapeFacts(NamedTuple):
    """Measures of how hard the search of a band on a landscape is."""

    candidates: int
    crossing: float
    """Share of pairs of candidates whose order at the first rung differs from that at the end, without noise."""
    slowness_by_cost: float
    """Rank correlation of the time constant of learning with the multiply-adds."""
    spread: float
    """Standard deviation of the true AP."""
    noise: float
    """Standard deviation of the AP between seeds."""


def facts(landscape: Landscape, specs: Sequence[DetectorSpec], epoch: int) -> LandscapeFacts:
    """Return the facts of the detectors `specs`; `epoch` is the first rung."""
    final = np.array([landscape.truth(spec) for spec in specs])
    early = final * [landscape.share(spec, epoch) for spec in specs]
    pairs = np.triu_indices(len(specs), 1)
    crossed = np.sign(final[pairs[0]] - final[pairs[1]]) != np.sign(early[pairs[0]] - early[pairs[1]])
    paces, costs = [landscape.pace(spec) for spec in specs], [_features(spec).macs for spec in specs]
    return LandscapeFacts(
        candidates=len(specs),
        crossing=float(crossed.mean()) if len(crossed) else 0.0,
        slowness_by_cost=_rank_correlation(paces, costs) if len(specs) > 1 else 0.0,
        spread=float(final.std()),
        noise=landscape.noise,
    )


def _rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    ranks = [np.argsort(np.argsort(np.array(values))).astype(np.float64) for values in (a, b)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
