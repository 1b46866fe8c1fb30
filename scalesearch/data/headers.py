"""Image sizes that the annotation file lacks, read from the images' headers. Imports PIL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import PIL.Image

from scalesearch.data.split import DataError

_ORIENTATION = 0x0112


def fill_sizes(entries: Sequence[dict[str, Any]], files: Sequence[Path]) -> tuple[str, ...]:
    """Fill in missing `width` and `height`; return a note on how many. DataError as `picture_size`."""
    bare = [i for i, entry in enumerate(entries) if entry.get("width") is None or entry.get("height") is None]
    for i in bare:
        for key, side in zip(("width", "height"), picture_size(files[i]), strict=True):
            if entries[i].get(key) is None:
                entries[i][key] = side
    return (f"{len(bare)} of {len(entries)} images without width or height: taken from the files",) if bare else ()


def picture_size(file: Path) -> tuple[int, int]:
    """Return (width, height) after the EXIF rotation. DataError where the file is no image."""
    try:
        with PIL.Image.open(file) as opened:
            turned = opened.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
            width, height = opened.size
    except Exception as error:  # PIL's decoders raise many types
        raise DataError(f"an image must be readable, but {file} is not ({error}): write it again.") from error
    return (height, width) if turned else (width, height)
