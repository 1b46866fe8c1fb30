"""Values quoted in messages, whatever their size."""

from __future__ import annotations

import reprlib

_LENGTH = 80
"""Characters of a quoted value: it points at what is wrong, and the file has the rest."""
_REPR = reprlib.Repr()
_REPR.maxlevel = 3
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = _LENGTH - 20


def quoted(value: object) -> str:
    """`repr` of the value, cut in its middle: nested to any depth, it fits into a line."""
    try:
        text = _REPR.repr(value)
    except ValueError:  # an integer with more digits than Python prints
        text = f"a {type(value).__name__}"
    return shortened(text, _LENGTH)


def shortened(text: str, length: int) -> str:
    """The text, or where it is longer than `length` its two ends around ` ... `."""
    if len(text) <= length:
        return text
    head = (length - 5) * 2 // 3
    return f"{text[:head]} ... {text[head + 5 - length :]}"
