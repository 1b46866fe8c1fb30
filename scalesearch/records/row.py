"""`Row`: the record of one training, self-contained plain data. Imports the standard library, arch and space."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from scalesearch.arch import spec as specs
from scalesearch.arch.spec import DetectorSpec
from scalesearch.inputs.documents import JsonError, parse_json
from scalesearch.inputs.quoting import quoted
from scalesearch.inputs.typed import Number, fields_of
from scalesearch.plan.task import Numbers
from scalesearch.records.ordinals import Ordinals
from scalesearch.space.space import AxisValue

SCHEMA = 1
"""Version of the rows that this code reads and writes."""
KINDS = ("search", "winner", "baseline", "repeat")
STATES = ("complete", "stopped", "failed")
OUTSIDE = "measured before training: "
"""Beginning of a row's reason where the built detector was measured outside its band and not trained."""


class RowError(ValueError):
    """A row cannot be read or written; the message names what is wrong in it."""


class TrainingKey(NamedTuple):
    """The identity of a training: two trainings with equal keys have the same outcome."""

    spec_id: str
    recipe_id: str
    data: str
    seed: int
    epochs: int
    splits: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One training of one detector. Raises RowError for an unknown kind or state, or where `told` holds no ordinals."""

    schema: int = SCHEMA
    kind: Literal["search", "winner", "baseline", "repeat"]
    name: str = ""
    """The baseline's name; for a winner trained by another recipe than the plan's, the recipe's name."""
    ordinal: int = 0
    """Ordinal of the candidate in its search."""
    member: int | None = None
    """Index of the member in its family, from 0; None for a single spec."""
    proposed_by: str = ""
    """The sampler, or `random` for the random start."""
    told: tuple[str, ...] | None = None
    """What its proposal was told, as sets of ordinals (`0-41,43`). For a search: for each rung of the ladder, the lowest
    first, the candidates whose result there was known; empty where the sampler reads none. For a repeat: the candidates that
    it chose among, then the turns of the repeats whose results were known. None for other kinds, and in rows written
    before it was kept: those were told all that lay at least as many ordinals back as the plan has workers."""
    turn: int | None = None
    """Position of a repeat among those of its study, from 0; None for other kinds and in rows from before it was kept."""
    point: Mapping[str, AxisValue]
    """The candidate's value on each axis that varies."""
    spec: DetectorSpec
    spec_id: str
    cost: Mapping[str, Number]
    """params, macs (1 multiply-add = 1) and activations at batch 1; memory and training_memory in bytes and predicted
    latency in seconds where the band or the objectives name them."""
    recipe: Mapping[str, Any]
    """The recipe's fields that differ from the defaults."""
    recipe_id: str
    data: str
    """Fingerprint of the data set and of how its splits are cut."""
    splits: Mapping[str, str]
    """train: the images trained on; evaluated: the images that the metrics are computed on."""
    seed: int
    epochs_done: int
    epochs_planned: int
    steps: int = 0
    """Steps trained; 0 in rows written before they were kept."""
    curve: tuple[tuple[int, Numbers], ...]
    """(epochs done, metrics) of each evaluation."""
    losses: tuple[tuple[int, Number, Number, Number], ...] = ()
    """(epoch, loss, class loss, box loss before its weight): means over the steps of each epoch; empty in rows written
    before these were kept. The first epoch is 1."""
    final: Numbers
    """Metrics of the last evaluation: ap, ap50, ap75, ap_small, ..."""
    per_class: Numbers
    """AP by category name."""
    state: Literal["complete", "stopped", "failed"]
    """stopped: trained to a lower rung of the ladder and no further so far."""
    reason: str = ""
    seconds: Number
    peak_memory: int
    """Bytes."""
    images_per_second: Number
    threads: int
    machine: Mapping[str, Any]
    versions: Mapping[str, str]

    def __post_init__(self) -> None:
        for name, words in (("kind", KINDS), ("state", STATES)):
            if getattr(self, name) not in words:
                raise RowError(f"{name} must be one of {', '.join(words)}, but got {getattr(self, name)!r}")
        try:
            for text in self.told or ():
                Ordinals(text)
        except ValueError as error:
            raise RowError(f"told: {error}") from None

    @property
    def key(self) -> TrainingKey:
        """Its `TrainingKey`."""
        splits = tuple(sorted(self.splits.items()))
        return TrainingKey(self.spec_id, self.recipe_id, self.data, self.seed, self.epochs_planned, splits)

    @property
    def ap_curve(self) -> list[tuple[int, float]]:
        """(epochs done, AP) of each evaluation that has one, and of the last; an AP that is None there counts as 0."""
        known = {epoch: float(ap) for epoch, numbers in self.curve if (ap := numbers.get("ap")) is not None}
        return sorted({**known, self.epochs_done: float(self.final["ap"] or 0)}.items())

    @property
    def outside(self) -> bool:
        """Whether the detector was measured outside its band and therefore not trained."""
        return self.state == "failed" and self.reason.startswith(OUTSIDE)

    @property
    def file_name(self) -> str:
        """File name in the study's folder: search-000003-m1.json, repeat-000003-s1.json, winner-<spec id>-s1.json,
        baseline-<name>-s0.json.

        A winner trained by another recipe than the plan's has a name, and its file name has the recipe's id before the
        seed.
        """
        ordinal = f"{self.ordinal:06d}"
        parts = [self.kind, {"search": ordinal, "repeat": ordinal, "baseline": self.name}.get(self.kind, self.spec_id)]
        parts += [] if self.member is None else [f"m{self.member}"]
        parts += [self.recipe_id] if self.kind == "winner" and self.name else []
        parts += [] if self.kind == "search" else [f"s{self.seed}"]
        return "-".join(parts) + ".json"

    @property
    def order(self) -> tuple[Any, ...]:
        """Sort key among the rows of a study: kind, ordinal, member, seed."""
        member = -1 if self.member is None else self.member
        place = (KINDS.index(self.kind), self.ordinal, self.name, member, self.seed, self.spec_id)
        return (*place, self.recipe_id) if self.kind == "winner" else place

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as plain JSON data, those of `_LATER` only where there are any; `from_dict` is the inverse."""
        data = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        data["spec"] = specs.to_dict(self.spec)
        data["curve"] = [[epoch, dict(numbers)] for epoch, numbers in self.curve]
        data["losses"] = [list(epoch) for epoch in self.losses]
        data["told"] = None if self.told is None else list(self.told)
        for name, without in _LATER.items():
            if data[name] == without:  # a row from before they were kept is written back as it was
                del data[name]
        return {name: dict(value) if isinstance(value, Mapping) else value for name, value in data.items()}

    def to_json(self) -> str:
        """Return one line of JSON with exact floats. Raises RowError, naming the field, for a value not in JSON."""
        try:
            return json.dumps(self.to_dict(), allow_nan=False, ensure_ascii=False)
        except (ValueError, TypeError):
            found = next(_not_json(self.to_dict(), ""), ("a field", "something else"))
            raise RowError(
                f"a row holds finite numbers, text, lists and mappings, but {found[0]} is {found[1]}"
            ) from None


def _not_json(value: Any, path: str) -> Any:
    """Yield (dotted field, repr) of each value that is not JSON."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _not_json(item, f"{path}.{key}".lstrip("."))
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _not_json(item, f"{path}[{i}]")
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield path, repr(value)
    elif value is not None and not isinstance(value, (str, int, bool)):
        yield path, f"a {type(value).__name__}"


_LATER: dict[str, Any] = {"losses": [], "steps": 0, "told": None, "turn": None}
"""Fields that older rows lack, and their values there."""
_NEEDED = {"cost": ("params", "macs", "activations"), "splits": ("train", "evaluated")}
"""Keys that reports need in every row's mappings."""


def from_dict(data: Mapping[str, Any]) -> Row:
    """Inverse of `Row.to_dict`. Raises RowError for another schema, unknown or missing fields, or a wrong type."""
    if data.get("schema") != SCHEMA:
        raise RowError(
            f"rows of schema {SCHEMA} are read here, but got schema {quoted(data.get('schema'))}; "
            "use the version of scalesearch that wrote it, or begin a new study"
        )
    try:
        row = fields_of({**_LATER, **data}, Row, "a row", {"spec": specs.from_dict})
        for field, names in _NEEDED.items():
            if missing := [name for name in names if name not in data[field]]:
                raise RowError(f"a row's {field} needs {missing[0]!r}")
        return row
    except RowError:
        raise
    except ValueError as error:
        raise RowError(str(error)) from None


def from_json(text: str) -> Row:
    """Inverse of `Row.to_json`. Raises RowError where the text is torn, not JSON, or not a row."""
    try:
        data = parse_json(text)
    except JsonError as error:
        raise RowError(f"not JSON ({error}), probably torn") from None
    if not isinstance(data, dict):
        raise RowError(f"a row is a JSON object, but got {type(data).__name__}")
    return from_dict(data)
