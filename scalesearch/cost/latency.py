"""Prediction of latency: the sum of a spec's operators by a table of timings. Pure functions; imports `arch`.

`scalesearch calibrate` makes the table once for a device and backend (`profile/calibrate.py`). Each kind of operator
has a price in seconds for a call, a multiply-add, and an element read, written or held as weights. A detector takes the
sum over its operators. The table has its error on held-out detectors, which every use of it reports.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from scalesearch.arch.operator import Operator
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.operators import operators
from scalesearch.inputs.quoting import quoted
from scalesearch.inputs.typed import fields_of
from scalesearch.io.hashes import short_hash

SCHEMA = 2
"""The version of the file's schema; a table of another one is refused."""

UNITS = ("calls", "macs", "read", "written", "weights")
"""The amounts that an operator is charged for."""

OTHER = "elementwise"
"""The kind for operators whose own kind has no timings in the table."""


@dataclass(frozen=True, kw_only=True)
class LatencySetting:
    """The conditions of a latency: the same detector takes another time if any of them differs.

    ValueError for threads or a batch that are no integers of at least 1.
    """

    device: str
    """The name of the processor or GPU."""
    backend: str
    """eager, compile or onnxruntime."""
    precision: str
    """fp32, bf16 or fp16."""
    threads: int
    batch: int
    versions: Mapping[str, str]
    """Versions of the software that computes, by name."""

    def __post_init__(self) -> None:
        for name in ("threads", "batch"):
            if not isinstance(value := getattr(self, name), int) or value < 1:
                raise ValueError(f"{name} of a setting must be a whole number of at least 1, but got {value!r}")

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        return f"{self.device}, {self.backend}, {self.precision}, {threads}, batch {self.batch}"


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """The error of a table's predictions for held-out detectors. ValueError for one below 0."""

    candidates: int
    mean: float
    """Mean of |predicted - measured| / measured."""
    worst: float

    def __post_init__(self) -> None:
        for name in ("candidates", "mean", "worst"):
            if not 0 <= (value := getattr(self, name)) < math.inf:
                raise ValueError(f"{name} of an error must be a number of at least 0, but got {value!r}")

    def __str__(self) -> str:
        return f"{self.mean:.1%} on average, {self.worst:.0%} at worst, on {self.candidates} detectors held out"


@dataclass(frozen=True, kw_only=True)
class LatencyTable:
    """Timings of operators. Prices are seconds for each of `UNITS`, by the kind of operator.

    ValueError for prices of other units, prices that are not finite or below 0, and a missing kind `OTHER`.
    """

    setting: LatencySetting
    reference: float
    """Seconds of the reference operation when the table was made."""
    prices: Mapping[str, Mapping[str, float]]
    error: HeldOut
    made_from: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    """The detectors that were timed: id -> (multiply-adds, seconds)."""

    def __post_init__(self) -> None:
        if not 0 < self.reference < math.inf:
            raise ValueError(
                f"the seconds of the reference operation must be positive and finite, but got {self.reference!r}"
            )
        priced = [(f"{kind}, {unit}", unit, some[unit]) for kind, some in self.prices.items() for unit in some]
        bad = [name for name, unit, value in priced if unit not in UNITS or not 0 <= value < math.inf]
        if bad or OTHER not in self.prices:
            raise ValueError(
                f"prices must be finite and not negative, in the units {', '.join(UNITS)}, with a kind {OTHER}, "
                f"but {f'{bad[0]} is not' if bad else f'{OTHER} is missing'}"
            )

    def __str__(self) -> str:
        return f"predicted for {self.setting}; error of a prediction: {self.error}"

    @property
    def description(self) -> str:
        """Its setting, its error, and a hash of its numbers: tables of equal description are equal."""
        text = json.dumps(to_dict(self), sort_keys=True)
        return f"{self}; table {short_hash(text)}"


def predict_latency(spec: DetectorSpec, table: LatencyTable) -> float:
    """Return the seconds of a whole detector for a batch of the table's size, without non-maximum suppression.

    ValueError for a timm backbone not measured at the spec's size.
    """
    return charge(amounts(operators(spec), table.setting.batch, table.prices), table.prices)


def charge(found: Mapping[str, Mapping[str, float]], prices: Mapping[str, Mapping[str, float]]) -> float:
    """Return the seconds for the summed amounts of each kind."""
    return math.fsum(
        value * prices[kind].get(unit, 0.0) for kind, some in found.items() for unit, value in some.items()
    )


def amounts(
    rows: tuple[Operator, ...], batch: int = 1, known: Mapping[str, Any] | None = None
) -> dict[str, dict[str, float]]:
    """Return the amounts that a detector is charged for, summed by kind: {kind: {unit: amount}}.

    A kind that is not in `known` counts as `OTHER`.
    """
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        if not row.live:
            continue
        for kind, calls, macs, read, written, weights in terms(row, batch):
            if known is not None and kind not in known:
                kind = OTHER
            some = found.setdefault(kind, dict.fromkeys(UNITS, 0.0))
            some["calls"] += calls
            some["macs"] += macs
            some["read"] += read
            some["written"] += written
            some["weights"] += weights
    return found


NEAR, FAR = 2**19, "far memory"
"""Elements that fit into a processor's own cache (2 MiB in fp32), and the kind as which elements beyond are charged.

Without it, predictions for detectors of 600 pixels and more, whose maps are in no cache, are too fast.
"""

WIDE = 16
"""Channels that a kernel computes at a time: groups of a grouped convolution are charged as if rounded up to it.

By plain multiply-adds, priced from RegNets with groups of 8, predictions for groups of 16 and 24 were 20 % too slow in
PyTorch and twice too slow under ONNX Runtime (benchmarks/check_latency.py --backbones, with 1 here).
"""

CONVOLUTIONS = ("vector convolution", "pointwise", "convolution", "depthwise", "strided depthwise", "grouped")
"""The kinds of convolution."""

Term = tuple[str, int, int, int, int, int]
"""A kind and its amounts, in the order of `UNITS`."""


def terms(row: Operator, batch: int = 1) -> Iterator[Term]:
    """Yield the charges of one operator: itself, the activation after it, and elements of its maps beyond the cache.

    A grouped convolution is charged for more multiply-adds than it has (`WIDE`).
    """
    read, written = batch * row.read, batch * row.written
    name = kind(row)
    yield name, 1, batch * (_filled(row) if name == "grouped" else row.macs), read, written, row.weights
    if row.after and row.name != "activation":
        yield f"after {row.after}", 1, 0, 0, written, 0
    if read + written > NEAR:
        yield FAR, 0, 0, 0, read + written - NEAR, 0


def kind(row: Operator) -> str:
    """Return the kind as which an operator is timed."""
    if row.name == "activation":
        return f"activation {row.after}"
    if row.name == "conv":
        return _convolution(row)
    if row.name in ("linear", "matmul", "product"):
        return "product"
    return row.name


def _convolution(row: Operator) -> str:
    if row.target == (1, 1) and row.source == (1, 1):
        return "vector convolution"
    if row.groups == 1:
        return "pointwise" if row.kernel == (1, 1) else "convolution"
    if row.groups == row.c_in == row.c_out:
        return "depthwise" if row.stride == 1 else "strided depthwise"
    return "grouped"


def _filled(row: Operator) -> int:
    """Return the multiply-adds of a grouped convolution with its groups rounded up to multiples of `WIDE` channels."""
    c_in, c_out = (-(-channels // row.groups // WIDE) * WIDE for channels in (row.c_in, row.c_out))
    return row.groups * c_in * c_out * row.kernel[0] * row.kernel[1] * row.target[0] * row.target[1]


# ---- the file ----


def to_dict(table: LatencyTable) -> dict[str, Any]:
    """Return plain JSON data; `from_dict` is the inverse."""
    return {"schema": SCHEMA, **asdict(table)}


def from_dict(data: Mapping[str, Any]) -> LatencyTable:
    """Invert `to_dict`; ValueError for data of another kind or schema."""
    if not isinstance(data, dict):
        raise ValueError(f"a table of timings is an object, but got {quoted(data)}")  # noqa: TRY004 - users'
    if (schema := data.get("schema")) != SCHEMA:
        raise ValueError(f"a table of timings has schema {SCHEMA}, but this has {quoted(schema)}")
    data = {name: value for name, value in data.items() if name != "schema"}
    own = {
        "setting": lambda part: fields_of(part, LatencySetting, "its setting", place="setting"),
        "error": lambda part: fields_of(part, HeldOut, "its error", place="error"),
    }
    return fields_of(data, LatencyTable, "a table of timings", own)
