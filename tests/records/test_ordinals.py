"""Sets of ordinals as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalesearch.records.ordinals import Ordinals, ordinals_text


@pytest.mark.parametrize(
    ("ordinals", "text"), [([], ""), ([7], "7"), ([0, 1], "0-1"), ([0, 1, 2, 4, 9, 10], "0-2,4,9-10")]
)
def test_they_are_written_as_spans(ordinals: list[int], text: str) -> None:
    assert ordinals_text(ordinals) == text


@given(st.sets(st.integers(0, 60)))
def test_what_is_written_is_read(ordinals: set[int]) -> None:
    found = Ordinals(ordinals_text(sorted(ordinals)))
    assert [i for i in range(-2, 64) if i in found] == sorted(ordinals) and len(found) == len(ordinals)


@pytest.mark.parametrize(
    "text", [",", "1,", "a", "-1", "1-", "1,0", "2-1", "0-3,3", "0,0", "1 ,2", "1-2-3", "\u0663", "9" * 10]
)
def test_what_is_no_set_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="ordinals are written"):
        Ordinals(text)
