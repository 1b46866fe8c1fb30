"""Strict conversion of plain JSON data to annotated types, by msgspec; errors name the wrong leaf."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any, TypeVar, get_type_hints

import msgspec

from scalesearch.inputs.quoting import quoted

T = TypeVar("T")

Number = int | float
"""A JSON number as it was written: 3 stays 3, so that data is written back byte for byte."""

_MESSAGE = re.compile(r"(?P<rule>.*?)(?: - at `\$?(?P<path>.*)`)?", re.DOTALL)
_EXPECTED = re.compile(r"Expected `(.*)`, got `.*`")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[(\.\.\.)\]")


def convert(data: Any, kind: Any, place: str) -> Any:
    """Convert `data` to `kind`: "3" is no number, true and 3.0 are no integers; a list becomes a tuple if asked for.

    ValueError names the leaf from `place` on, as in `curve[0][1]['ap'] must be float | null, but got 'x'`.
    """
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise ValueError(_explained(str(error), data, kind, place)) from None


def fields_of(
    data: Any, kind: type[T], what: str, own: Mapping[str, Callable[[Any], Any]] | None = None, place: str = ""
) -> T:
    """Return the dataclass `kind` from a mapping with exactly its fields, converted by annotation.

    `own` has readers of single fields that replace `convert`; errors call the mapping `what`, as in "a row".
    ValueError names the field or the leaf, as `place.field`.
    """
    if not isinstance(data, dict):
        raise ValueError(f"{what} is a mapping of its fields, but got {quoted(data)}")  # noqa: TRY004 - users'
    known = [item.name for item in fields(kind)]  # type: ignore[arg-type]
    if unknown := sorted(set(data) - set(known)):
        raise ValueError(f"{what} has no field {quoted(unknown[0])}")
    if missing := [name for name in known if name not in data]:
        raise ValueError(f"{what} needs the field {missing[0]!r}")
    hints, values = _hints(kind), {}  # type: ignore[arg-type]  # mypy takes a class for unhashable
    for name, value in data.items():
        at = f"{place}.{name}" if place else name
        values[name] = own[name](value) if own and name in own else convert(value, hints[name], at)
    return kind(**values)


@lru_cache(maxsize=64)  # evaluated anew, annotations took half of the time of reading a row
def _hints(kind: type[Any]) -> dict[str, Any]:
    return get_type_hints(kind)


def _explained(message: str, data: Any, kind: Any, place: str) -> str:
    match = _MESSAGE.fullmatch(message)
    assert match, "the pattern takes any text"
    steps: list[str | int] = []
    for name, number, _ in _STEP.findall(match["path"] or ""):
        # msgspec does not say which key of a mapping has the wrong value.
        steps.append(int(number) if number else name or _culprit(data, kind, steps, message))
    where = place + "".join(f"[{quoted(step)}]" for step in steps)
    if expected := _EXPECTED.fullmatch(match["rule"]):
        return f"{where} must be {expected[1]}, but got {quoted(_at(data, steps))}"
    return f"{where}: {match['rule'].replace('`', chr(39))}"


def _culprit(data: Any, kind: Any, steps: Sequence[str | int], message: str) -> str:
    """Return the key of the mapping at `steps` that alone makes the conversion fail with `message`."""
    for key, value in _at(data, steps).items():
        try:
            msgspec.convert(_put(data, steps, {key: value}), kind)
        except msgspec.ValidationError as error:
            if str(error) == message:
                return str(key)
    return "..."


def _at(data: Any, steps: Sequence[str | int]) -> Any:
    for step in steps:
        data = data[step]
    return data


def _put(data: Any, steps: Sequence[str | int], value: Any) -> Any:
    """Return `data` with `value` at `steps`."""
    if not steps:
        return value
    first, *rest = steps
    inner = _put(data[first], rest, value)
    if isinstance(data, dict):
        return {**data, first: inner}
    return [*data[: int(first)], inner, *data[int(first) + 1 :]]
