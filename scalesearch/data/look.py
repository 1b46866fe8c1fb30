"""A check of every image of a data set before training, so that a broken one does not end a search hours later.

Imports NumPy and PIL.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scalesearch.data.decode import read_upright, refuse
from scalesearch.data.decoded_file import key_of
from scalesearch.data.split import DataError, Image, Split
from scalesearch.inputs.machine import usable_processors
from scalesearch.io.progress import bar
from scalesearch.io.publish import publish_to_cache

_SIDE = 8
"""Target side of libjpeg's reduced decoding: the check needs no pixels."""


def looked_at(split: Split, cache: Path | None = None) -> Split:
    """Check all images; return the split with a note for each kind of change to them. A `cache` keeps the result.

    DataError naming the images that cannot be decoded or do not have their annotated size.
    """
    file = cache / f"looked-{key_of(split)}.json" if cache else None
    notes = _known(file) if file else None
    if notes is None:
        notes = _look(split)
        if file:
            _keep(file, notes)
    return dataclasses.replace(split, notes=split.notes + tuple(notes))


def _look(split: Split) -> list[str]:
    refused, remarks = list[DataError](), Counter[str]()
    update = bar("looking at the pictures")
    with ThreadPoolExecutor(usable_processors()) as pool:
        for done, found in enumerate(pool.map(_remarks, split.images)):
            if isinstance(found, DataError):
                refused.append(found)
            else:
                remarks.update(found)
            update(done + 1, len(split.images), "images")
    if refused:
        refuse(refused, split)
    return [f"{count} of {len(split.images)} images {remark}" for remark, count in remarks.items()]


def _remarks(image: Image) -> Sequence[str] | DataError:
    try:
        return read_upright(image.file, (image.width, image.height), _SIDE).remarks
    except DataError as error:
        return error


def _known(file: Path) -> list[str] | None:
    try:
        notes = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return notes if isinstance(notes, list) and all(isinstance(note, str) for note in notes) else None


def _keep(file: Path, notes: list[str]) -> None:
    publish_to_cache(file, json.dumps(notes))
