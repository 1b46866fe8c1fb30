"""JSON within bounds: what is refused, each in one line, and what is read as Python's own parser reads it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalesearch.inputs.documents import DEPTH, JsonError, parse_json, parse_large

_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
_VALUES = st.recursive(_LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)


@settings(max_examples=50, deadline=None)
@given(_VALUES)
def test_what_json_wrote_is_read_as_it_was(value: Any) -> None:
    assert repr(parse_json(json.dumps(value))) == repr(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "nested more than 32 levels deep"),
        ('{"a":' * 100_000, "nested more than 32 levels deep"),
        ("[" * 33 + "1" + "]" * 33 + "x", "Extra data"),
        ("1e999", "numbers are finite, but got 1e999"),
        ('{"a": [-1e400]}', "numbers are finite, but got -1e400"),
        ("NaN", "numbers are finite, but got NaN"),
        ("[-Infinity]", "numbers are finite, but got -Infinity"),
        ("9" * 21, "whole numbers have at most 20 digits"),
        ('{"a": ["\\ud800"]}', "is no text"),
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' is given twice"),
        ("", "Expecting value at line 1, column 1"),
        ('{"a": 1,\n "b"', "at line 2, column"),
    ],
)
def test_what_is_out_of_bounds_is_one_line(text: str, said: str) -> None:
    for given_as in (text, text.encode()):
        with pytest.raises(JsonError) as caught:
            parse_json(given_as)
        assert said in str(caught.value)
        assert len(str(caught.value)) < 200 and "\n" not in str(caught.value)


@pytest.mark.parametrize("raw", [b"\xff\xfe\xfa", b'"\x80"', b"\x00" * 7])
def test_bytes_that_are_no_text_are_refused(raw: bytes) -> None:
    with pytest.raises(JsonError):
        parse_json(raw)


def test_the_depth_is_counted_in_lists_and_mappings() -> None:
    deep = "[" * DEPTH + "]" * DEPTH
    assert json.dumps(parse_json(deep)) == deep
    with pytest.raises(JsonError, match="32 levels"):
        parse_json(f"[{deep}]")


def test_large_files_are_bounded_too() -> None:
    assert parse_large(b'{"a": {"b": 1e999}}', lambda item: item) == {"a": {"b": float("inf")}}
    for raw in (b"[" * 100_000, b"[" * 50 + b"]" * 50):
        with pytest.raises(JsonError, match="32 levels"):
            parse_large(raw, lambda item: item)
