"""Detection on image files: drawn images, and a list in COCO's results format."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from PIL.PngImagePlugin import PngInfo

from scalesearch.app.trained_model import Model
from scalesearch.data.image_files import find_pictures, read_picture
from scalesearch.data.split import DataError
from scalesearch.inputs.quoting import shortened
from scalesearch.io.marks import MARK, is_picture
from scalesearch.io.progress import bar
from scalesearch.io.publish import publish
from scalesearch.io.target import claim_file, claim_folder
from scalesearch.io.text import LONGEST, for_file_name, for_terminal
from scalesearch.nn.anchors import anchor_boxes
from scalesearch.report.draw_boxes import Drawn, draw_boxes
from scalesearch.training.evaluation import predict

logger = logging.getLogger(__name__)

DETECTIONS = "detections.json"


def draw_detections(model: Model, places: Sequence[Path], out: Path, *, score: float) -> list[str]:
    """Write the detections with at least `score` to `out`: <name>.png for each image, and DETECTIONS for all.

    DETECTIONS has COCO results (xywh in pixels of the upright image) with the names of file and class; images are
    numbered from 0 in order. Returns a line for each image that could not be read; the others are done. Raises
    ValueError where they would be drawn into their own folder.
    """
    files = _to_read(places, out)
    drawn_as = _names(files)
    _claim(out, drawn_as)
    anchors = anchor_boxes(model.spec, next(model.detector.parameters()).device)
    update = bar("predicting")
    found: list[dict[str, Any]] = []
    unread: list[str] = []
    try:
        for number, (file, name) in enumerate(zip(files, drawn_as, strict=True)):
            update(number, len(files), file.name)
            try:
                drawn, rows, remarks = _one(model, anchors, file, number, score)
            except (DataError, MemoryError) as error:
                unread.append(str(error) or f"{file}: not enough memory for this image")
                continue
            found += [{"file_name": str(file), "drawn": name, **row} for row in rows]
            publish(out / name, _png(drawn))
            remarked = "".join(f" ({remark})" for remark in remarks)
            logger.info(f"{for_terminal(file)}: {_counts(rows)} -> {for_terminal(out / name)}{remarked}")
    finally:  # keep the detections so far, also where the disk is full or the user stops it
        publish(out / DETECTIONS, _as_json(found))
    return unread


def detections(model: Model, places: Sequence[Path], *, score: float) -> list[dict[str, Any]]:
    """Return the rows of `draw_detections` without drawing. Raises DataError for the first unreadable image."""
    anchors = anchor_boxes(model.spec, next(model.detector.parameters()).device)
    found: list[dict[str, Any]] = []
    for number, file in enumerate(find_pictures(places)):
        _, rows, _ = _detected(model, anchors, file, number, score)
        found += [{"file_name": str(file), **row} for row in rows]
    return found


def drawn_on(model: Model, file: Path, *, score: float) -> Image:
    """Return the image in `file` with the detections of at least `score` drawn on it. Raises DataError."""
    anchors = anchor_boxes(model.spec, model.device)
    drawn, _, _ = _one(model, anchors, file, 0, score)
    return drawn


def _as_json(found: Sequence[dict[str, Any]]) -> str:
    """Return JSON that is valid UTF-8: other bytes of a file name are escaped so that Python reads them back."""
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    return re.sub("[\ud800-\udfff]", lambda match: f"\\u{ord(match[0]):04x}", text)


def _claim(out: Path, names: Sequence[str]) -> None:
    """Raise TargetError where a file in `out` of one of these names, or the list's, was not made by this command."""
    claim_folder(out, "a folder of drawn pictures")
    for name in names:
        if (out / name).exists():
            claim_file(out / name, "a drawn picture", is_picture)
    if (out / DETECTIONS).exists():
        claim_file(out / DETECTIONS, "a list of detections", _is_list)


def _is_list(file: Path) -> bool:
    found = json.loads(file.read_text(encoding="utf-8"))
    return isinstance(found, list) and all({"file_name", "drawn", "bbox"} <= one.keys() for one in found)


def _png(drawn: Image) -> bytes:
    mark = PngInfo()
    mark.add_text("Software", MARK)
    content = io.BytesIO()
    drawn.save(content, "PNG", pnginfo=mark)
    return content.getvalue()


def _names(files: Sequence[Path]) -> list[str]:
    """Return the name of each drawn image: `<stem>.png`, or with a number where another image has that name."""
    taken: dict[str, None] = {}
    for file in files:
        taken[_free(for_file_name(file.stem), taken)] = None
    return list(taken)


def _to_read(places: Sequence[Path], out: Path) -> list[Path]:
    """Return the images of `places`, without those that an earlier call drew into `out` inside them.

    Raises ValueError where a drawn image could overwrite one that is read.
    """
    files = find_pictures(places)
    inside = [file for file in files if out.resolve() in file.resolve().parents]
    ours = (out / DETECTIONS).is_file() and not set(inside) & set(places) and len(inside) < len(files)
    if inside and not ours:
        raise ValueError(
            f"pictures must not be drawn into the folder of the originals, but {inside[0]} is in {out}: name another"
        )
    return [file for file in files if file not in inside]


def _one(
    model: Model, anchors: torch.Tensor, file: Path, number: int, score: float
) -> tuple[Image, list[dict[str, Any]], tuple[str, ...]]:
    """Return the drawn image, its rows (best first), and remarks on it."""
    picture, rows, remarks = _detected(model, anchors, file, number, score)
    labels = {category.id: k for k, category in enumerate(model.categories)}
    drawn = []
    for row in rows:
        (x, y, width, height), label, name = row["bbox"], labels[row["category_id"]], row["category_name"]
        text = f"{for_terminal(shortened(name, LONGEST))} {row['score']:.2f}"
        drawn.append(Drawn((x, y, x + width, y + height), label, text))
    return draw_boxes(picture, drawn), rows, remarks


def _detected(
    model: Model, anchors: torch.Tensor, file: Path, number: int, score: float
) -> tuple[Image, list[dict[str, Any]], tuple[str, ...]]:
    """Return the image, its rows (best first), and remarks on it."""
    picture, pixels, remarks = read_picture(file, number, model.spec.size, model.categories)
    pixels = dataclasses.replace(pixels, normalisation=model.spec.normalisation)
    names = {category.id: category.name for category in model.categories}
    rows = [row for row in predict(model.detector, anchors, pixels) if row["score"] >= score]
    return picture, [{**row, "category_name": names[row["category_id"]]} for row in rows], remarks


def _free(stem: str, taken: Collection[str]) -> str:
    """Return `<stem>.png`, or with a number where another image has that name."""
    name, count = f"{stem}.png", 1
    while name in taken:
        count += 1
        name = f"{stem}-{count}.png"
    return name


def _counts(rows: Sequence[dict[str, Any]]) -> str:
    """Return the count of each class, as `3 red, 1 blue`."""
    names = [for_terminal(shortened(row["category_name"], LONGEST)) for row in rows]
    return ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names)) or "nothing"
