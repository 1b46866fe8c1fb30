"""Pictures through a trained detector: drawn with what was found, and listed in COCO's form of results."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from scalesearch.app.progress import Console
from scalesearch.app.trained_model import Model
from scalesearch.data.image_files import find_pictures, read_picture
from scalesearch.data.split import DataError
from scalesearch.nn.anchors import anchor_boxes
from scalesearch.records.folder import write_whole
from scalesearch.report.draw_boxes import Drawn, draw_boxes
from scalesearch.train.evaluation import predict

DETECTIONS = "detections.json"


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
    for number, file in enumerate(files):
        bar(number, len(files), file.name)
        try:
            drawn, rows = _one(model, anchors, file, number, score)
        except DataError as error:
            unread.append(str(error))
            continue
        name = _free(file.stem, names)
        drawn.save(out / name)
        found += [{"file_name": str(file), "drawn": name, **row} for row in rows]
        console.say(f"{file}: {_told(rows)} -> {out / name}")
    write_whole(out / DETECTIONS, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    return unread


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
) -> tuple[Any, list[dict[str, Any]]]:
    """The picture drawn, and its rows, best first."""
    picture, pixels = read_picture(file, number, model.spec.size, model.categories)
    pixels = dataclasses.replace(pixels, normalisation=model.spec.normalisation)
    places = {category.id: (k, category.name) for k, category in enumerate(model.categories)}
    rows = [row for row in predict(model.detector, anchors, pixels) if row["score"] >= score]
    drawn = []
    for row in rows:
        (x, y, width, height), (label, name) = row["bbox"], places[row["category_id"]]
        row["category_name"] = name
        drawn.append(Drawn((x, y, x + width, y + height), label, f"{name} {row['score']:.2f}"))
    return draw_boxes(picture, drawn), rows


def _free(stem: str, taken: set[str]) -> str:
    """`<stem>.png`, or with a number where another picture has that name."""
    name, count = f"{stem}.png", 1
    while name in taken:
        count += 1
        name = f"{stem}-{count}.png"
    taken.add(name)
    return name


def _told(rows: Sequence[dict[str, Any]]) -> str:
    """`3 red, 1 blue`."""
    names = [str(row["category_name"]) for row in rows]
    return ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names)) or "nothing"
