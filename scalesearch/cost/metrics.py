"""`Meter`: all metrics of a detector that bands and objectives use, one detector at a time or over arrays.

Imports NumPy and `arch`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.budget import METRICS
from scalesearch.cost.memory import (
    TrainingSettings,
    inference_memory,
    memory_grid,
    training_memory,
    training_memory_grid,
)
from scalesearch.cost.price import Cost, price, price_grid

BY_ARRAY = ("macs", "params", "activations", "memory", "training_memory")
"""The metrics that are computed over arrays; latency is predicted one detector at a time."""


@dataclass(frozen=True, kw_only=True)
class Meter:
    """Computes the metrics of candidates: params, macs, activations, and `asked`.

    Raises ValueError for latency without `predict`.
    """

    asked: tuple[str, ...] = ()
    """Further names of METRICS."""
    training: TrainingSettings = field(default_factory=TrainingSettings)
    """The batch and optimiser of training_memory."""
    predict: Callable[[DetectorSpec], float] | None = None
    """Predicts a detector's seconds on some device, as by a table of `scalesearch calibrate`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "asked", tuple(name for name in METRICS if name in self.asked))
        if "latency" in self.asked and self.predict is None:
            raise ValueError(
                "a latency is predicted from a table of timings, but none was given; make one with "
                "`scalesearch calibrate` and name it: latency: {table: FILE}"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the metrics, those of `Cost` first."""
        return (*Cost._fields, *(name for name in self.asked if name not in Cost._fields))

    def __call__(self, spec: DetectorSpec) -> dict[str, float]:
        """Return the metrics of one detector, in the order of `names`. ValueError as `price`."""
        found: dict[str, float] = dict(price(spec)._asdict())
        for name in self.names[len(found) :]:
            found[name] = self._one(name, spec)
        return found

    def _one(self, name: str, spec: DetectorSpec) -> float:
        if name == "memory":
            return inference_memory(spec)
        if name == "training_memory":
            return training_memory(spec, self.training)
        assert self.predict, "checked when it was made"
        return self.predict(spec)

    def grid(self, base: DetectorSpec, **dimensions: Any) -> dict[str, NDArray[np.int64]]:
        """Return the metrics of BY_ARRAY over arrays of dimensions, as for `price_grid`."""
        found: dict[str, NDArray[np.int64]] = dict(price_grid(base, **dimensions)._asdict())
        if "memory" in self.asked:
            found["memory"] = memory_grid(base, **dimensions)
        if "training_memory" in self.asked:
            found["training_memory"] = training_memory_grid(base, self.training, **dimensions)
        return found


def meter_of(names: Iterable[str], **how: Any) -> Meter:
    """Return the meter of these metrics and objectives; other names, such as `ap`, are ignored."""
    return Meter(asked=tuple(name for name in names if name in METRICS), **how)
