"""Checks of a COCO file's entries: categories, images, annotations. docs/data.md has the rules.

Standard library and NumPy. A split may have a million annotations: each check first tests the whole list at C's speed,
and looks for the culprit only where that fails.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalesearch.data.split import Category, DataError

Item = dict[str, Any]


def read_categories(
    items: Sequence[Item], objects: Sequence[Item], place: Path
) -> tuple[tuple[Category, ...], tuple[Category, ...]]:
    """Return (classes, categories that are no classes), each in the order of ids.

    A category that is another's supercategory and has no annotation is no class. Roboflow exports list their project's
    name as such a category, even where a class has the same name.
    """
    ids = _whole_numbers(items, "id", "category", place)
    for item in items:
        _require_text(item, "name", "category", place)
    _unique(ids, "category ids", place)
    used = {value for value in (item.get("category_id") for item in objects) if isinstance(value, (int, float))}
    above = [(id_, item.get("supercategory")) for id_, item in zip(ids, items, strict=True)]
    pairs = sorted(zip(ids, (item["name"] for item in items), strict=True))
    roots = [(i, name) for i, name in pairs if i not in used and any(i != j and name == up for j, up in above)]
    roots = roots if len(roots) < len(pairs) else []
    classes = [pair for pair in pairs if pair not in roots]
    _distinct_names(classes, place)
    kept, left = (tuple(Category(id=i, name=name) for i, name in some) for some in (classes, roots))
    return kept, left


def _distinct_names(pairs: Sequence[tuple[int, str]], place: Path) -> None:
    name, count = Counter(name for _, name in pairs).most_common(1)[0]
    if count > 1:
        ids = ", ".join(str(id_) for id_, other in pairs if other == name)
        raise DataError(
            f"category names must differ, but {name!r} occurs {count} times, with the ids {ids}, in {place}: give each "
            f"its own name, or all their annotations one id and remove the other entries."
        )


def check_names(entries: Sequence[Item], place: Path) -> None:
    """Check that each image has a file name."""
    for entry in entries:
        _require_text(entry, "file_name", "image", place)


def read_images(entries: Sequence[Item], files: Sequence[Path], place: Path) -> tuple[list[int], list[int], list[int]]:
    """Return (ids, widths, heights) of images, each with a file of its own."""
    ids = _whole_numbers(entries, "id", "image", place)
    widths, heights = (_whole_numbers(entries, key, "image", place) for key in ("width", "height"))
    for entry, width, height in zip(entries, widths, heights, strict=True):
        if width < 1 or height < 1:
            raise DataError(
                f"an image's width and height must be positive, but {entry['file_name']!r} has {width}x{height} in "
                f"{place}: give the size in pixels."
            )
    _unique(ids, "image ids", place)
    paths = [os.path.normpath(file) for file in files]
    if len(set(paths)) < len(paths):
        above = os.path.commonpath([os.path.dirname(path) for path in paths])
        _unique([os.path.relpath(path, above) for path in paths], "file names of images", place)
    return ids, widths, heights


def positions(objects: Sequence[Item], key: str, ids: Sequence[int], of: str, place: Path) -> NDArray[np.int64]:
    """Return the position [n] of each annotation's `key` among `ids`."""
    index = {id_: position for position, id_ in enumerate(ids)}
    values = _whole_numbers(objects, key, "annotation", place)
    found = [index.get(value, -1) for value in values]
    strangers = [i for i, position in enumerate(found) if position < 0]
    if strangers:
        raise stranger(objects, strangers, key, values[strangers[0]], of, place)
    return np.array(found, dtype=np.int64)


def stranger(objects: Sequence[Item], lost: Sequence[int], key: str, value: object, of: str, place: Path) -> DataError:
    """Return the error of the annotations at `lost`, the first of which has `value`, which is not among the `of`."""
    return DataError(
        f"an annotation's {key} must be among the {of}, but {_named(objects[lost[0]])}{_more(lost)} has "
        f"{value!r} in {place}: add it to {of!r}, or remove the annotation."
    )


def check_ids(objects: Sequence[Item], place: Path) -> tuple[str, ...]:
    """Return a note where different annotations share an id. Ids may be missing or of any type: nothing reads them.

    DataError where an annotation is listed twice under one id, as in a file that was joined with itself.
    """
    known = [item for item in objects if "id" in item]
    ids = [repr(item["id"]) for item in known]
    if len(set(ids)) == len(ids):
        return ()
    whole = Counter(repr([item["id"], *(item.get(key) for key in _OBJECT)]) for item in known)
    copies = [item for item in known if whole[repr([item["id"], *(item.get(key) for key in _OBJECT)])] > 1]
    if copies:
        again = sum(count - 1 for count in whole.values())
        raise DataError(
            f"each annotation must be listed once, but {_named(copies[0])} is there again with the same image, class and "
            f"box ({again} such in {place}): keep one of each."
        )
    return (f"{len(ids) - len(set(ids))} of {len(objects)} annotations renumbered: their ids were not unique",)


_OBJECT = ("image_id", "category_id", "bbox")


def read_boxes(objects: Sequence[Item], place: Path) -> NDArray[np.float64]:
    """Return boxes [n, 4] xywh as annotated."""
    found = [item.get("bbox") for item in objects]
    lists = set(map(type, found)) <= {list} and set(map(len, found)) <= {4}  # type: ignore[arg-type]
    if not lists or not set(map(type, chain.from_iterable(found))) <= {int, float}:  # type: ignore[arg-type]
        bad = [i for i, box in enumerate(found) if not _is_box(box)]
        item, box = objects[bad[0]], found[bad[0]]
        mend = "give them in pixels, or remove the annotation"
        if box is None and "segmentation" in item:
            mend = "its segmentation is neither polygons nor a run-length mask, so write the box around it"
        raise DataError(
            f"bbox must be four numbers [x, y, width, height], but {_named(item)}{_more(bad)} has {box!r} in "
            f"{place}: {mend}."
        )
    values = map(_float, chain.from_iterable(found))  # type: ignore[arg-type]
    return np.fromiter(values, dtype=np.float64, count=4 * len(found)).reshape(-1, 4)


def read_areas(objects: Sequence[Item], boxes: NDArray[np.float64], place: Path) -> NDArray[np.float64]:
    """Return annotated areas [n]; the area of the box xyxy where there is none or it is 0."""
    values = [item.get("area") or 0 for item in objects]
    bad = [i for i, value in enumerate(values) if not (_is_number(value) and value >= 0 and _float(value) < math.inf)]
    if bad:
        raise DataError(
            f"area must be a positive number, but {_named(objects[bad[0]])}{_more(bad)} has {values[bad[0]]!r} in "
            f"{place}: give it in square pixels, or leave it out."
        )
    areas = np.array(values, dtype=np.float64)
    return np.where(areas > 0, areas, (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def read_crowds(objects: Sequence[Item], place: Path) -> NDArray[np.bool_]:
    """Return `iscrowd` [n]; a missing or null one is 0."""
    values = [item.get("iscrowd") or 0 for item in objects]
    bad = [i for i, value in enumerate(values) if not (isinstance(value, (int, float)) and value in (0, 1))]
    if bad:
        raise DataError(
            f"iscrowd must be 0 or 1, but {_named(objects[bad[0]])}{_more(bad)} has {values[bad[0]]!r} in {place}: "
            f"mend it, since crowds are neither learnt nor scored."
        )
    return np.array(values, dtype=np.bool_)


def _whole_numbers(items: Sequence[Item], key: str, of: str, place: Path) -> list[int]:
    """Return `key` of each item; 3.0 is 3 (tables of floats write ids so), but true is refused."""
    values: list[Any] = [item.get(key) for item in items]
    if not set(map(type, values)) <= {int} or max(map(abs, values), default=0) >= 2**53:
        refuse(items, values, lambda value: not is_whole(value), f"{key!r} as int", of, place)
    return list(map(int, values))


def _require_text(item: Item, key: str, of: str, place: Path) -> None:
    if not (isinstance(item.get(key), str) and item[key]):
        refuse([item], [item.get(key)], lambda _: True, f"{key!r} as str", of, place)


def refuse(
    items: Sequence[Item], values: Sequence[object], is_bad: Callable[[Any], bool], what: str, of: str, place: Path
) -> None:
    """Raise DataError where one of the values `is_bad`."""
    bad = [i for i, value in enumerate(values) if is_bad(value)]
    if bad:
        raise DataError(
            f"each {of} must have {what}, but {_named(items[bad[0]])}{_more(bad)} has {values[bad[0]]!r} in {place}: "
            f"add or mend it."
        )


def _unique(values: Sequence[object], what: str, place: Path) -> None:
    if len(set(values)) == len(values):
        return
    value, count = Counter(values).most_common(1)[0]
    raise DataError(
        f"{what} must differ, but {value!r} occurs {count} times in {place}: keep one of each, or give each its own."
    )


def _named(item: Item) -> str:
    known = [f"{key} {item[key]!r}" for key in ("id", "name", "file_name") if key in item]
    return ", ".join(known) or "one without id"


def _more(bad: Sequence[object]) -> str:
    """Say how many more there are than the first, which is named."""
    return f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""


def _is_box(box: object) -> bool:
    return isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_whole(value: object) -> bool:
    """Whether the value is whole and in the range where a float is exact, so that no reader changes it."""
    return _is_number(value) and abs(value) < 2**53 and value == int(value)  # type: ignore[arg-type, call-overload]


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # JSON may write integers of any length
        return math.inf
