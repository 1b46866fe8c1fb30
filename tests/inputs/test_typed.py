"""Conversion by annotation: strict, exact, and every wrong leaf is named with its path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from scalesearch.inputs.quoting import quoted, shortened
from scalesearch.inputs.typed import Number, convert, fields_of


@dataclass(frozen=True)
class _Pair:
    count: int
    shares: Mapping[str, Number | None]
    curve: tuple[tuple[int, Mapping[str, float]], ...] = ()


_GOOD: dict[str, Any] = {"count": 2, "shares": {"a": 1, "b": 0.5, "c": None}, "curve": [[1, {"ap": 0.25}]]}


def test_numbers_stay_as_written_and_lists_become_tuples() -> None:
    found = fields_of(_GOOD, _Pair, "a pair")
    assert repr(found) == "_Pair(count=2, shares={'a': 1, 'b': 0.5, 'c': None}, curve=((1, {'ap': 0.25}),))"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"count": "2"}, "count must be int, but got '2'"),
        ({"count": True}, "count must be int, but got True"),
        ({"count": 2.0}, "count must be int, but got 2.0"),
        ({"shares": {"a": 1, "b": "x"}}, "shares['b'] must be int | float | null, but got 'x'"),
        ({"shares": [1]}, "shares must be object, but got [1]"),
        ({"curve": [[1, {"ok": 1.0, "ap": "x"}]]}, "curve[0][1]['ap'] must be float, but got 'x'"),
        ({"curve": [[1, {}], [1]]}, "curve[1]: Expected 'array' of length 2, got 1"),
        ({"other": 1}, "a pair has no field 'other'"),
    ],
)
def test_the_wrong_leaf_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=".") as caught:
        fields_of({**_GOOD, **changes}, _Pair, "a pair")
    assert str(caught.value).startswith(said)


def test_a_mapping_of_all_fields_is_asked_for() -> None:
    with pytest.raises(ValueError, match="a pair needs the field 'curve'"):
        fields_of({"count": 1, "shares": {}}, _Pair, "a pair")
    with pytest.raises(ValueError, match=r"a pair is a mapping of its fields, but got \[1, 2\]"):
        fields_of([1, 2], _Pair, "a pair")
    with pytest.raises(ValueError, match="curve must be array, but got 3"):
        convert(3, tuple[int, ...], "curve")


def test_quotes_are_short_whatever_the_value() -> None:
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    for value in (deep, "x" * 10**6, list(range(10**5)), 10**5000, {"a" * 500: {"b": [deep] * 9}}):
        assert len(quoted(value)) <= 80
    assert quoted({"a": 1}) == "{'a': 1}"
    assert shortened("abc", 80) == "abc"
    assert shortened("a" * 100 + "z", 20) == "aaaaaaaaaa ... aaaaz"
