"""Sets of ordinals as short text: `0-41,43`, in ascending order."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable

_TEXT = re.compile(r"(?:\d{1,9}(?:-\d{1,9})?(?:,\d{1,9}(?:-\d{1,9})?)*)?", re.ASCII)


class Ordinals:
    """A set of ordinals, read from its text. Raises ValueError for text that is none."""

    def __init__(self, text: str) -> None:
        if not _TEXT.fullmatch(text):
            raise ValueError(f"ordinals are written as 0-41,43, but got {text!r}")
        ends = [tuple(map(int, part.split("-"))) for part in text.split(",") if part]
        self._first = [end[0] for end in ends]
        self._last = [end[-1] for end in ends]
        both = [ordinal for end in zip(self._first, self._last, strict=True) for ordinal in dict.fromkeys(end)]
        if both != sorted(set(both)):
            raise ValueError(f"ordinals are written in ascending order, each once, but got {text!r}")

    def __contains__(self, ordinal: int) -> bool:
        place = bisect_right(self._first, ordinal) - 1
        return place >= 0 and ordinal <= self._last[place]

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in zip(self._first, self._last, strict=True))


def ordinals_text(ordinals: Iterable[int]) -> str:
    """Return the text of a set of ordinals, given in ascending order."""
    spans: list[list[int]] = []
    for ordinal in ordinals:
        if spans and ordinal == spans[-1][1] + 1:
            spans[-1][1] = ordinal
        else:
            spans.append([ordinal, ordinal])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
