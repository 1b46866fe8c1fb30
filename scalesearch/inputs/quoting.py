"""Quotes of values in messages, short whatever the value's size."""

from __future__ import annotations

import reprlib

_LENGTH = 80
"""The most characters of a quoted value: they identify it, and the file has the rest."""
_REPR = reprlib.Repr()
_REPR.maxlevel = 3
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = _LENGTH - 20


def quoted(value: object) -> str:
    """Return `repr` of the value, shortened in the middle to fit into a line, however deeply it is nested."""
    try:
        text = _REPR.repr(value)
    except ValueError:  # an integer with more digits than Python prints
        text = f"a {type(value).__name__}"
    return shortened(text, _LENGTH)


def shortened(text: str, length: int) -> str:
    """Return the text, or its two ends around ` ... ` if it is longer than `length`."""
    if len(text) <= length:
        return text
    head = (length - 5) * 2 // 3
    return f"{text[:head]} ... {text[head + 5 - length :]}"
