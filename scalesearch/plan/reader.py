"""Typed reading of a plan's YAML tree: each field reads its key in its own type, then `done` refuses other keys.

Rules for scalars, by the field's type and never by YAML's guess:
- text: as written, quoted or not (`on`, `012` and `2.5e9` stay as they are).
- integer: decimal digits with an optional sign; no leading zeros (YAML would read 012 as ten), no quotes.
- number: decimal or scientific, finite, no quotes. quantity: the same with k, M, G (or B) or T after it,
  an amount of memory with MB or MiB, a time always with s, ms or us.
- flag: true or false; `on` and `yes` are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from scalesearch.cost import budget
from scalesearch.inputs.quoting import quoted
from scalesearch.plan.yaml_tree import Entries, Items, PlanError, Scalar, YamlNode, read_nodes

__all__ = ["PlanError", "Section", "Value", "read_section"]

_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]{0,18})")
"""At most 19 digits: the largest integer of a plan is a seed below 2**63."""
_QUANTITIES = {
    budget.COUNTS: "a positive number such as 25M, 0.9G or 2.5e9",
    budget.BYTES: "an amount of memory such as 500MB, 2GiB or 1.5e9",
    budget.SECONDS: "a time such as 20ms or 1.5s",
}
_TIME = re.compile(r"([0-9]*\.?[0-9]+) ?(s|min|h|)")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def read_section(path: Path | None, overrides: Sequence[str] = ()) -> Section:
    """Return the top section of the plan in `path` (None: an empty one), with overrides.

    PlanError if the file cannot be read or is not a mapping.
    """
    return Section(Value(read_nodes(path, overrides), ""))


class Value:
    """A node of the tree and its dotted key. Every method raises PlanError with the node's place and the key."""

    def __init__(self, node: YamlNode, key: str) -> None:
        self.node = node
        self.key = key

    def error(self, rule: str) -> PlanError:
        """Return the error `place: key rule`, for the caller to raise."""
        return PlanError(f"{self.node.place}: {f'{self.key} {rule}'.strip()}")

    def expected(self, what: str) -> PlanError:
        """Return the error for a value of a wrong type or outside its range."""
        match self.node:
            case Scalar(text=""):
                got = "nothing; write a value after the colon, or leave the key out"
            case Scalar(text=text, plain=plain):
                got = quoted(text) if plain else f"the quoted text {quoted(text)}"
            case Items():
                got = "a list"
            case _:
                got = "a mapping"
        return self.error(f"must be {what}, but got {got}")

    def text(self) -> str:
        """Read text as written, at least one character."""
        if not isinstance(self.node, Scalar) or not self.node.text:
            raise self.expected("text")
        return self.node.text

    def _plain(self, what: str) -> str:
        if not isinstance(self.node, Scalar) or not self.node.plain:
            raise self.expected(what)
        return self.node.text

    def integer(self, *, low: int | None = None, high: int | None = None) -> int:
        """Read an integer, at least `low` and at most `high`."""
        what = "a whole number" + (f" of at least {low}" if low is not None else "")
        text = self._plain(what)
        if not _INTEGER.fullmatch(text):
            if re.fullmatch(r"[+-]?0[0-9]+", text):
                what += " without leading zeros (YAML reads them as octal)"
            elif re.fullmatch(r"[+-]?[0-9]{20,}", text):
                what += " of at most 19 digits"
            raise self.expected(what)
        if low is not None and int(text) < low:
            raise self.expected(what)
        if high is not None and int(text) > high:
            raise self.expected(f"a whole number of at most {high}")
        return int(text)

    def number(self, *, what: str = "a number") -> float:
        """Read a finite decimal or scientific number; errors call it `what`."""
        text = self._plain(what)
        if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
            raise self.expected(what)
        return float(text)

    def quantity(self, name: str = "macs") -> float:
        """Read a value of the metric `name`: 3G, 25M, 0.9 G, 2.5e9; 500MB, 2GiB; 20ms."""
        what = _QUANTITIES[budget.METRICS[name]]
        text = self._plain(what)
        try:
            value = budget.quantity(text, name)
        except ValueError:
            raise self.expected(what) from None
        if not math.isfinite(value):
            raise self.expected(what)
        return value

    def seconds(self) -> float:
        """Read a time above 0 in seconds: 90, 90s, 20min, 1.5h."""
        what = "a time such as 90s, 20min or 1.5h"
        match = _TIME.fullmatch(self._plain(what))
        if not match or not 0 < float(match[1]) < 1e9:
            raise self.expected(what)
        return float(match[1]) * {"": 1, "s": 1, "min": 60, "h": 3600}[match[2]]

    def flag(self) -> bool:
        """Read true or false, in these words."""
        text = self._plain("true or false")
        if text.lower() not in ("true", "false"):
            raise self.expected("true or false")
        return text.lower() == "true"

    def word(self, words: Iterable[str]) -> str:
        """Read one of `words`; the error for another suggests the nearest."""
        text, known = self.text(), list(words)
        if text not in known:
            raise self.error(f"must be one of {', '.join(known)}, but got {quoted(text)}{_nearest(text, known)}")
        return text

    def of(self, hint: Any) -> Any:
        """Read the value by the type of a dataclass field: int, float, bool, str, Literal words or a tuple of those."""
        simple: dict[Any, Callable[[], Any]] = {int: self.integer, float: self.number, bool: self.flag, str: self.text}
        if hint in simple:
            return simple[hint]()
        if get_origin(hint) is Literal:
            return self.word(get_args(hint))
        if get_origin(hint) is tuple:
            hints, items = get_args(hint), self.items()
            if hints[-1] is not Ellipsis and len(items) != len(hints):
                raise self.error(f"must be a list of {len(hints)} values, but got {len(items)}")
            return tuple(item.of(hints[0]) for item in items)
        raise TypeError(f"the reader has no rule for a field of type {hint}")

    def is_word(self, text: str) -> bool:
        """Whether the value is exactly this text."""
        return isinstance(self.node, Scalar) and self.node.text == text

    @property
    def is_list(self) -> bool:
        """Whether the value is a list."""
        return isinstance(self.node, Items)

    @property
    def is_section(self) -> bool:
        """Whether the value is a mapping."""
        return isinstance(self.node, Entries)

    def items(self) -> tuple[Value, ...]:
        """Read a list of at least one value."""
        if not isinstance(self.node, Items):
            raise self.expected("a list, as [a, b]")
        if not self.node.nodes:
            raise self.error("must be a list of at least one value, but got an empty one")
        return tuple(Value(node, f"{self.key}[{i}]") for i, node in enumerate(self.node.nodes))

    def section(self) -> Section:
        """Read a mapping, as a section."""
        return Section(self)


class Section:
    """A mapping that is read key by key; `done` refuses the keys that were not read."""

    def __init__(self, value: Value) -> None:
        if not isinstance(value.node, Entries):
            raise value.expected("a mapping of keys to values")
        self.value = value
        self._nodes: Mapping[str, YamlNode] = value.node.nodes
        self._asked: list[str] = []

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys as written."""
        return tuple(self._nodes)

    def error(self, rule: str) -> PlanError:
        """Return the error `place: key rule`, for the caller to raise."""
        return self.value.error(rule)

    def get(self, key: str) -> Value | None:
        """Return the value under `key`; None if there is none."""
        self._asked.append(key)
        return Value(self._nodes[key], self._dotted(key)) if key in self._nodes else None

    def need(self, key: str) -> Value:
        """Return the value under `key`; PlanError if it is missing or seems misspelt."""
        value = self.get(key)
        if value is None:
            if close := get_close_matches(key, [k for k in self.keys if k not in self._asked], n=1, cutoff=0.75):
                raise self._unknown(close[0])
            place = self.value.node.place
            raise PlanError(f"{place}: the key {self._dotted(key)} is missing; add it")
        return value

    def section(self, key: str) -> Section:
        """Return the mapping under `key`; an empty one if there is none."""
        value = self.get(key)
        return Section(value or Value(Entries(self.value.node.place, {}), self._dotted(key)))

    def text(self, key: str, default: str | None = None) -> str:
        """Read `Value.text` of the key, or return `default` if it is left out; without a default, PlanError."""
        if default is not None and self.get(key) is None:
            return default
        return self.need(key).text()

    def integer(self, key: str, default: int | None = None, *, low: int | None = None, high: int | None = None) -> int:
        """Read `Value.integer` of the key; default as in `text`."""
        if default is not None and self.get(key) is None:
            return default
        return self.need(key).integer(low=low, high=high)

    def word(self, key: str, words: Iterable[str], default: str | None = None) -> str:
        """Read `Value.word` of the key; default as in `text`."""
        if default is not None and self.get(key) is None:
            return default
        return self.need(key).word(words)

    def fields(self, hints: Mapping[str, Any]) -> dict[str, Any]:
        """Read the given keys, each by the type of the field of its name; then `done`."""
        found = {name: value.of(hint) for name, hint in hints.items() if (value := self.get(name)) is not None}
        self.done()
        return found

    def done(self) -> None:
        """Raise PlanError for the first key that was not read, with the nearest known key."""
        for key in self.keys:
            if key not in self._asked:
                raise self._unknown(key)

    def named_in(self, error: ValueError) -> str | None:
        """Return the key of this section that the error's text names first."""
        hits = {key: re.search(rf"\b{re.escape(key)}\b", str(error)) for key in self.keys}
        found = [(hit.start(), key) for key, hit in hits.items() if hit]
        return min(found)[1] if found else None

    def blamed(self, error: ValueError) -> PlanError:
        """Return `error` with the line of the key that it names first, else of the section."""
        key = self.named_in(error)
        if key is None:
            return PlanError(": ".join(filter(None, (self.value.node.place, self.value.key, str(error)))))
        said = self._dotted(str(error)) if str(error).startswith(key) else f"{self._dotted(key)}: {error}"
        return PlanError(f"{self._nodes[key].place}: {said}")

    def _unknown(self, key: str) -> PlanError:
        known = list(dict.fromkeys(self._asked))
        mend = _nearest(key, known) or f"; the keys here are {', '.join(known)}"
        return PlanError(f"{self._nodes[key].place}: unknown key {quoted(self._dotted(key))}{mend}")

    def _dotted(self, key: str) -> str:
        return f"{self.value.key}.{key}" if self.value.key else key


def _nearest(text: str, known: Sequence[str]) -> str:
    close = get_close_matches(text, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
