"""Ids of images and categories that a tool wrote as text, as numbers. Standard library only."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from scalesearch.data.coco_entries import Item, is_whole, refuse, stranger
from scalesearch.data.split import DataError

_ONE = {"images": "image", "categories": "category"}
_DECIMAL = re.compile(r"0|-?[1-9][0-9]{0,15}")


def number_texts(items: Sequence[Item], objects: Sequence[Item], key: str, of: str, place: Path) -> dict[int, str]:
    """Write numbers in place of the texts among the ids of `items` and the `key` of `objects`; return the texts by number.

    Where all texts are decimal numbers they become those. Otherwise all ids are numbered from 1 in the order of their
    texts, so that two files with the same ids number them alike.
    DataError where an id is neither a number nor text, is given twice, or an object has none of them.
    """
    listed, used = [item.get("id") for item in items], [item.get(key) for item in objects]
    if str not in {*map(type, listed), *map(type, used)}:
        return {}
    refuse(items, listed, _is_none, "'id' as int", _ONE[of], place)
    refuse(objects, used, _is_none, f"{key!r} as int", "annotation", place)
    if all(_DECIMAL.fullmatch(value) and is_whole(int(value)) for value in (*listed, *used) if isinstance(value, str)):
        numbers = {value: int(value) for value in (*listed, *used) if isinstance(value, str)}
    else:
        numbers = _numbered(listed, of, place)
        lost = [i for i, value in enumerate(used) if _text(value) not in numbers]
        if lost:
            raise stranger(objects, lost, key, used[lost[0]], of, place)
    for entries, name, values in ((items, "id", listed), (objects, key, used)):
        for entry, value in zip(entries, values, strict=True):
            entry[name] = numbers.get(_text(value), value)
    return {numbers[value]: value for value in listed if isinstance(value, str)}


def _numbered(listed: Sequence[object], of: str, place: Path) -> dict[str, int]:
    texts = [_text(value) for value in listed]
    text, count = Counter(texts).most_common(1)[0]
    if count > 1:
        raise DataError(
            f"ids of {of} must differ, but {text!r} occurs {count} times in {place}: keep one of each, or give each its own."
        )
    return {text: number for number, text in enumerate(sorted(texts), 1)}


def _is_none(value: object) -> bool:
    return not _text(value)


def _text(value: object) -> str:
    """Return an id as text; empty for what is no id."""
    return value if isinstance(value, str) else str(int(value)) if is_whole(value) else ""  # type: ignore[call-overload]
