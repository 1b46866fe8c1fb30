"""The reader of one split of a COCO-format data set; `layout` finds it.

A fault that would make the numbers wrong is refused in one line (`DataError`). Boxes that are broken by themselves are
mended or left out, and counted in `Split.notes`: docs/data.md has the rules. Images are opened only where the
annotation file does not give their size.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scalesearch.data.coco_entries import (
    Item,
    check_ids,
    check_names,
    positions,
    read_areas,
    read_boxes,
    read_categories,
    read_crowds,
    read_images,
)
from scalesearch.data.headers import fill_sizes
from scalesearch.data.layout import MEND, SplitFiles, find_split, missing
from scalesearch.data.locate import locate
from scalesearch.data.outlines import fill_boxes, needs_outline
from scalesearch.data.split import Category, DataError, IdTexts, Image, Split, ground_truth, select_from
from scalesearch.data.text_ids import number_texts
from scalesearch.data.units import check_units
from scalesearch.inputs.documents import JsonError, parse_large

__all__ = ["Category", "DataError", "Image", "Split", "ground_truth", "read_split", "select_from"]


def read_split(folder: Path, split: str) -> Split:
    """Read one split of a data set: images in the order of the file, labels in the order of category ids.

    Boxes are clipped to their image. Boxes without area, outside their image or not finite are left out. Duplicates and
    areas larger than their box are kept. All are counted in `notes`. COCO's train2017 (118,287 images, 860,001 boxes,
    536 MB with outlines) takes 13 s on one core and 1.6 GiB (docs/data.md).
    Raises:
        DataError: where the folder, the file or one of its entries breaks a rule of the format.
    """
    place = find_split(folder, split) if folder.is_dir() else None
    if place is None:
        raise missing(folder, split)
    return read_split_files(place)


def read_split_files(found: SplitFiles) -> Split:
    """Read the split at this place, as `read_split` does."""
    place = found.file
    document = _document(place)
    entries, objects = document["images"], document["annotations"]
    texts = IdTexts(
        images=number_texts(entries, objects, "image_id", "images", place),
        categories=number_texts(document["categories"], objects, "category_id", "categories", place),
    )
    categories, grouping = read_categories(document["categories"], objects, place)
    check_names(entries, place)
    files, moved = locate([entry["file_name"] for entry in entries], found)
    sized = fill_sizes(entries, files)
    ids, widths, heights = read_images(entries, files, place)
    outlined = fill_boxes(objects)
    owners = positions(objects, "image_id", ids, "images", place)
    labels = positions(objects, "category_id", [category.id for category in categories], "categories", place)
    renumbered = check_ids(objects, place)
    sizes = np.array([widths, heights], dtype=np.float64).T
    annotated = read_boxes(objects, place)
    notes = check_units(annotated, sizes[owners], place) + renumbered
    boxes, kept, mended = _clip(annotated, sizes[owners])
    areas, crowd = read_areas(objects, boxes, place), read_crowds(objects, place)
    notes = (
        moved + sized + outlined + notes + mended + _oddities(owners[kept], labels[kept], annotated[kept], areas[kept])
    )
    order = np.argsort(owners, kind="stable")
    order = order[kept[order]]
    bounds = np.searchsorted(owners[order], np.arange(len(entries) + 1)).tolist()
    corners, labels, crowd, areas = boxes[order].astype(np.float32), labels[order], crowd[order], areas[order]
    images = [
        Image(
            id=ids[i],
            name=entry["file_name"],
            file=files[i],
            width=widths[i],
            height=heights[i],
            boxes=corners[rows],
            labels=labels[rows],
            crowd=crowd[rows],
            areas=areas[rows],
            group=_group(entry),
        )
        for i, entry in enumerate(entries)
        for rows in [slice(bounds[i], bounds[i + 1])]
    ]
    return Split(
        name=found.split, images=tuple(images), categories=categories, notes=notes, roots=grouping, texts=texts
    )


def _group(entry: Item) -> str | None:
    """Return the name of what must stay in one split: the key `group`, or the source image of Roboflow's copies."""
    if entry.get("group") is not None:
        return str(entry["group"])
    source, mark, _ = entry["file_name"].rpartition(".rf.")
    return source if mark else None


def _document(place: Path) -> dict[str, list[Item]]:
    """Return the annotation file, its three lists present and each a list of objects."""
    document = _parsed(place)
    if not isinstance(document, dict):
        raise DataError(
            f"an annotation file must hold an object, but {place} holds a {type(document).__name__}: {MEND}."
        )
    for key in ("images", "annotations", "categories"):
        items = document.get(key)
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise DataError(f"{key!r} must be a list of objects in {place}: write it as the COCO format has it.")
        if not items and key != "annotations":
            raise DataError(f"{key!r} must not be empty, but it is in {place}: list at least one.")
    return document


def _parsed(place: Path) -> object:
    """Parse the JSON file, in UTF-8, -16 or -32. Outlines, nine tenths of COCO's 450 MB, are dropped while reading."""
    raw = place.read_bytes()
    if raw[:2] == b"\x1f\x8b":
        raise DataError(f"an annotation file must be JSON, but {place} is compressed by gzip: unpack it.")
    try:
        return parse_large(raw, _without_outline)
    except JsonError as error:
        raise DataError(f"an annotation file must be JSON, but {place} is not ({error}): write it again.") from None


def _without_outline(item: Item) -> Item:
    if item.get("segmentation") and not needs_outline(item):
        item["segmentation"] = True
    return item


def _clip(
    boxes: NDArray[np.float64], sizes: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], tuple[str, ...]]:
    """xywh [n, 4], image (width, height) [n, 2] -> xyxy inside the image [n, 4], kept [n], notes."""
    finite: NDArray[np.bool_] = np.all(np.isfinite(boxes), axis=1)
    flat = finite & ~(boxes[:, 2:] > 0).all(axis=1)
    whole = np.where(finite[:, None], boxes, 0.0)
    with np.errstate(over="ignore"):  # a box may end at infinity
        whole[:, 2:] += whole[:, :2]
    limits = np.tile(sizes, 2)
    inside = np.clip(whole, 0.0, limits)
    # In float32, as stored: a sliver that rounds to nothing has no area.
    visible = (inside[:, 2:].astype(np.float32) > inside[:, :2].astype(np.float32)).all(axis=1)
    outside = finite & ~flat & ~visible
    kept = finite & ~flat & visible
    # Annotation tools round by up to half a pixel over the edge, which is not worth a note.
    clipped = kept & (np.abs(whole - inside).max(axis=1, initial=0.0) > 0.5)
    counts = {
        "left out: not finite": ~finite,
        "left out: no area": flat,
        "left out: outside their image": outside,
        "clipped to their image": clipped,
    }
    notes = tuple(f"{int(hit.sum())} of {len(boxes)} boxes {what}" for what, hit in counts.items() if hit.any())
    return inside, kept, notes


def _oddities(
    owners: NDArray[np.int64], labels: NDArray[np.int64], boxes: NDArray[np.float64], areas: NDArray[np.float64]
) -> tuple[str, ...]:
    """Return notes on oddities that are kept because the evaluators keep them too; boxes xywh as annotated."""
    rows = np.column_stack([owners, labels, boxes])
    rows = rows[np.lexsort(rows.T)]
    copies = int((rows[1:] == rows[:-1]).all(axis=1).sum())
    # A mask's area is at most its box's. One pixel a side is allowed for boxes that were rounded.
    with np.errstate(over="ignore"):
        large = int((areas > (boxes[:, 2:] + 1).prod(axis=1)).sum())
    counts = {
        f"{copies} of {len(boxes)} boxes kept: copies of another of the same image and class": copies,
        f"{large} of {len(boxes)} areas kept: larger than their box (they decide small, medium and large)": large,
    }
    return tuple(note for note, count in counts.items() if count)
