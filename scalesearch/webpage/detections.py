"""The picture of detections that `search --finish` leaves in a study's folder, cut into its images for the page."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from scalesearch.evidence.noise import Group
from scalesearch.io.marks import MARK
from scalesearch.io.publish import publish

PICTURE = "detections.png"
IMAGES = 8
SCORE = 0.3
"""Least score of a detection that is drawn."""
COLUMNS = 4
TILE = (480, 360)
"""Width and height of an image's place in the picture."""
_GAP = 8


class DrawnBy(NamedTuple):
    """The weights whose detections a picture shows."""

    spec_id: str
    recipe_id: str
    seed: str
    weights: str
    """Hash of the file of weights."""


def write_picture(path: Path, images: list[Image.Image], source: DrawnBy) -> None:
    """Write the images in rows of `COLUMNS` on a transparent ground; the same images give the same bytes."""
    columns = min(COLUMNS, len(images))
    rows = -(-len(images) // columns)
    width, height = TILE
    sheet = Image.new("RGBA", (columns * (width + _GAP) - _GAP, rows * (height + _GAP) - _GAP), (0, 0, 0, 0))
    for number, image in enumerate(images):
        fitted = image.copy()
        fitted.thumbnail(TILE, Image.Resampling.LANCZOS)
        x, y = number % columns * (width + _GAP), number // columns * (height + _GAP)
        sheet.paste(fitted, (x + (width - fitted.width) // 2, y + (height - fitted.height) // 2))
    text = PngInfo()
    text.add_text("Software", MARK)
    text.add_text("images", str(len(images)))
    for name, value in source._asdict().items():
        text.add_text(name, value)
    content = io.BytesIO()
    sheet.save(content, "PNG", pnginfo=text, optimize=True)
    publish(path, content.getvalue())


def source_of(path: Path) -> DrawnBy | None:
    """Return whose detections the picture at `path` shows; None where there is none of ours."""
    try:
        with Image.open(path) as picture:
            text = picture.info
            return DrawnBy(*(str(text[name]) for name in DrawnBy._fields))
    except (OSError, KeyError):
        return None


def is_of(source: DrawnBy | None, group: Group) -> bool:
    """Whether the picture shows the detections of this winner."""
    return source is not None and source[:2] == (group.first.spec_id, group.first.recipe_id)


def tiles(path: Path) -> list[str]:
    """Return the images of the picture at `path` as data URIs of WebP. Raises OSError."""
    with Image.open(path) as picture:
        count, sheet = int(str(picture.info["images"])), picture.convert("RGBA")
    width, height = TILE
    columns = min(COLUMNS, count)
    found = []
    for number in range(count):
        x, y = number % columns * (width + _GAP), number // columns * (height + _GAP)
        tile = sheet.crop((x, y, x + width, y + height))
        content = io.BytesIO()
        tile.crop(tile.getbbox() or (0, 0, width, height)).convert("RGB").save(content, "WEBP", quality=82)
        found.append("data:image/webp;base64," + base64.b64encode(content.getvalue()).decode())
    return found
