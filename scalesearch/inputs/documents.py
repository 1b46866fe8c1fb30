"""The reader of all JSON that a user gives: rows, tables of timings, detectors, COCO files, metadata of weights.

Python's own parser raises RecursionError for text nested some hundred levels deep, accepts NaN, Infinity and 1e999 as
numbers, and keeps the last of two equal keys. Here each of these is a ValueError of one line.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

DEPTH = 32
"""The most levels of lists and mappings in a text; the deepest of ours, a row, has 7."""
DIGITS = 20
"""The most digits of an integer, with its sign: counts and bytes fit into 64 bits."""
_NESTED = {dict, list}
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class JsonError(ValueError):
    """A text that is no JSON within the bounds; the message says what is wrong and where."""


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text with finite numbers, strings that UTF-8 can encode, and no repeated key.

    Raises JsonError.
    """
    hooks: dict[str, Any] = {"parse_constant": _no_constant, "parse_int": _whole, "object_pairs_hook": _distinct}
    try:
        data = _bounded(text, finite=True, **hooks)
    except OverflowError:  # read again to say which: a call for each number takes a third of the time of reading a row
        data = _bounded(text, parse_float=_finite, **hooks)
    if _SURROGATE.search(text if isinstance(text, str) else text.decode("latin-1")):
        try:
            json.dumps(data, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise JsonError("an unpaired surrogate, as in \\ud800, is no text") from None
    return data


def parse_large(text: bytes, object_hook: Callable[[dict[str, Any]], Any]) -> Any:
    """Return the value of a JSON text of some hundred megabytes, in UTF-8, -16 or -32.

    Each mapping is passed through `object_hook` as it is read. The caller must check that numbers are finite, and the
    last of two equal keys is kept. Raises JsonError.
    """
    return _bounded(text, object_hook=object_hook)


def _bounded(text: str | bytes, finite: bool = False, **hooks: Any) -> Any:
    """Return the value of a text not nested too deep. OverflowError where numbers are to be `finite` and are not."""
    try:
        data = json.loads(text, **hooks)
    except JsonError:
        raise
    except json.JSONDecodeError as error:
        raise JsonError(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except UnicodeDecodeError as error:
        raise JsonError(f"byte {error.start} is no {error.encoding} text") from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:  # an integer of more digits than Python reads
        raise JsonError(str(error)) from None
    level: list[Any] = [[data]]
    for _ in range(DEPTH + 1):
        inside = [node.values() if isinstance(node, dict) else node for node in level]
        if finite and any(math.inf in items or -math.inf in items for items in inside):
            raise OverflowError
        # Most lists are of numbers alone, which the set of their types shows without a look at each.
        nested = (items for items in inside if not _NESTED.isdisjoint(map(type, items)))
        level = [item for items in nested for item in items if isinstance(item, (dict, list))]
        if not level:
            return data
    raise _too_deep()


def _too_deep() -> JsonError:
    return JsonError(f"lists and mappings are nested more than {DEPTH} levels deep")


def _no_constant(name: str) -> None:
    raise JsonError(f"numbers are finite, but got {name}")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise JsonError(f"numbers are finite, but got {text[:20]}")
    return value


def _whole(text: str) -> int:
    if len(text) > DIGITS:
        raise JsonError(f"whole numbers have at most {DIGITS} digits, but got {text[:20]} ...")
    return int(text)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise JsonError(f"the key {twice[:40]!r} is given twice")
    return found
