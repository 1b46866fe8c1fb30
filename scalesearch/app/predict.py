"""Pictures through a trained detector: drawn with what was found, and listed in COCO's form of results."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import PIL.Image
import torch

from scalesearch.app.progress import Console
from scalesearch.app.trained_model import Model
from scalesearch.data.image_files import find_pictures, read_picture
from scalesearch.data.split import DataError
from scalesearch.nn.anchors import anchor_boxes
from scalesearch.records.folder import write_whole
from scalesearch.report.draw_boxes import Drawn, draw_boxes
from scalesearch.training.evaluation import predict

DETECTIONS = "detections.json"
_NAME, _LONGEST = 60, 240
"""Characters of a class's name that are shown; bytes of a picture's name that are kept, of the 255 that there may be."""


def draw_detections(model: Model, places: Sequence[Path], out: Path, *, score: float, console: Console) -> list[str]:
    """Detections from `score` on of every picture, in `out`: <name>.png of each, and DETECTIONS of all.

    Those are COCO results (xywh in pixels of the upright picture) with the names of file and class; pictures are
    numbered from 0 in order. Returns a line for each picture that could not be read; the others are done. ValueError
    where they would be drawn into their own folder.
    """
    files = _to_read(places, out)
    out.mkdir(parents=True, exist_ok=True)
    anchors = anchor_boxes(model.spec, next(model.detector.parameters()).device)
    bar = console.bar("predicting")
    found: list[dict[str, Any]] = []
    unread: list[str] = []
    names: set[str] = set()
    try:
        for number, file in enumerate(files):
            bar(number, len(files), shown(file.name))
            try:
                drawn, rows, remarks = _one(model, anchors, file, number, score)
            except (DataError, MemoryError) as error:
                unread.append(shown(str(error) or f"{file}: too little memory for it"))
                continue
            name = _free(file.stem, names)
            drawn.save(out / name)
            found += [{"file_name": str(file), "drawn": name, **row} for row in rows]
            remarked = "".join(f" ({remark})" for remark in remarks)
            console.say(shown(f"{file}: {_counts(rows)} -> {out / name}{remarked}"))
    finally:  # what was found is kept, also where the disk is full or the user stops it
        write_whole(out / DETECTIONS, _as_json(found))
    return unread


def detections(model: Model, places: Sequence[Path], *, score: float) -> list[dict[str, Any]]:
    """The rows of `draw_detections` without the drawing. Raises DataError for the first picture that cannot be read."""
    anchors = anchor_boxes(model.spec, next(model.detector.parameters()).device)
    found: list[dict[str, Any]] = []
    for number, file in enumerate(find_pictures(places)):
        _, rows, _ = _detected(model, anchors, file, number, score)
        found += [{"file_name": str(file), **row} for row in rows]
    return found


def _as_json(found: Sequence[dict[str, Any]]) -> str:
    """As text that is UTF-8: bytes of a file's name that are not are written as Python reads them back."""
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    return re.sub("[\ud800-\udfff]", lambda match: f"\\u{ord(match[0]):04x}", text)


def shown(text: str) -> str:
    """Text that may hold a file's name, for a terminal: bytes that are no UTF-8 as \\xff."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _to_read(places: Sequence[Path], out: Path) -> list[Path]:
    """The pictures of `places`, but for those that an earlier call drew into `out` where that lies among them.

    ValueError where a drawn picture could take the place of one that is read.
    """
    files = find_pictures(places)
    inside = [file for file in files if out.resolve() in file.resolve().parents]
    ours = (out / DETECTIONS).is_file() and not set(inside) & set(places) and len(inside) < len(files)
    if inside and not ours:
        raise ValueError(
            f"pictures must be drawn into another folder than theirs, but {inside[0]} is in {out}: name another"
        )
    return [file for file in files if file not in inside]


def _one(
    model: Model, anchors: torch.Tensor, file: Path, number: int, score: float
) -> tuple[Any, list[dict[str, Any]], tuple[str, ...]]:
    """The picture drawn, its rows, best first, and remarks on it."""
    picture, rows, remarks = _detected(model, anchors, file, number, score)
    labels = {category.id: k for k, category in enumerate(model.categories)}
    drawn = []
    for row in rows:
        (x, y, width, height), label, name = row["bbox"], labels[row["category_id"]], row["category_name"]
        drawn.append(Drawn((x, y, x + width, y + height), label, f"{_short(name)} {row['score']:.2f}"))
    return draw_boxes(picture, drawn), rows, remarks


def _detected(
    model: Model, anchors: torch.Tensor, file: Path, number: int, score: float
) -> tuple[PIL.Image.Image, list[dict[str, Any]], tuple[str, ...]]:
    """The picture, its rows, best first, and remarks on it."""
    picture, pixels, remarks = read_picture(file, number, model.spec.size, model.categories)
    pixels = dataclasses.replace(pixels, normalisation=model.spec.normalisation)
    names = {category.id: category.name for category in model.categories}
    rows = [row for row in predict(model.detector, anchors, pixels) if row["score"] >= score]
    return picture, [{**row, "category_name": names[row["category_id"]]} for row in rows], remarks


def _free(stem: str, taken: set[str]) -> str:
    """`<stem>.png`, or with a number where another picture has that name."""
    raw = os.fsencode(stem)[:_LONGEST]
    stem = raw.decode("utf-8", "ignore") if len(raw) == _LONGEST else stem
    name, count = f"{stem}.png", 1
    while name in taken:
        count += 1
        name = f"{stem}-{count}.png"
    taken.add(name)
    return name


def _short(name: str) -> str:
    """A class's name on a label or a line: one line, cut where it is long."""
    name = " ".join(name.split())
    return name if len(name) <= _NAME else f"{name[: _NAME - 3]}..."


def _counts(rows: Sequence[dict[str, Any]]) -> str:
    """`3 red, 1 blue`."""
    names = [str(row["category_name"]) for row in rows]
    return ", ".join(f"{names.count(name)} {_short(name)}" for name in dict.fromkeys(names)) or "nothing"
