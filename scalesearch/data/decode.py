"""An image file as pixels: decoded, upright, RGB, at the scale of its letterbox. Imports NumPy and PIL.

Every mode of 8 bits is taken; what cannot be decoded, or is not of the annotated size, is refused by name.
"""

from __future__ import annotations

import struct

import numpy as np
import PIL.Image
import PIL.ImageOps
from numpy.typing import NDArray

from scalesearch.data.split import DataError, Image, Split

_TOLD = 5
"""Images that a refusal says the reason of; of the others the number."""
_ORIENTATION = 0x0112


def letterbox(image: Image, size: tuple[int, int]) -> tuple[float, int, int]:
    """(scale, rows, columns) of an image inside (h, w): the largest that fits; a broken last row is cut."""
    scale = min(size[0] / image.height, size[1] / image.width)
    rows, columns = (max(1, int(side * scale + 1e-6)) for side in (image.height, image.width))
    return scale, rows, columns


def tried(image: Image, size: tuple[int, int]) -> NDArray[np.uint8] | DataError:
    """`decode`, with the error in place of the pixels."""
    try:
        return decode(image, size)
    except DataError as error:
        return error


def refuse(refused: list[DataError], split: Split) -> None:
    """Names the images that were refused. None is left out: the scores would be of other images than the rows say."""
    others = "; ".join(str(error).rstrip(".") for error in refused[:_TOLD])
    more = f"; and {len(refused) - _TOLD} more" if len(refused) > _TOLD else ""
    count = f" ({len(refused)} of the {len(split.images)} images of {split.name} are refused)" if refused[1:] else ""
    raise DataError(f"{others}{more}{count}.") from refused[0]


def decode(image: Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """uint8 [rows, columns, 3] for input size (h, w): upright, at the scale of its letterbox. DataError."""
    scale, rows, columns = letterbox(image, size)
    try:
        with PIL.Image.open(image.file) as opened:
            upright, factor = _upright(opened, image, max(rows, columns))
            upright = rgb(upright, image)
    except DataError:
        raise
    except Exception as error:  # PIL's decoders raise what they like: OSError, SyntaxError, struct.error, zlib.error
        raise DataError(f"an image must be readable, but {image.file} is not ({error}): write it again.") from error
    # The source rectangle that the letterbox shows, so that one scale holds exactly on both axes.
    region = (min(columns / scale / factor, upright.width), min(rows / scale / factor, upright.height))
    resized = upright.resize((columns, rows), PIL.Image.Resampling.BILINEAR, box=(0, 0, *region))
    return np.asarray(resized)


def _upright(opened: PIL.Image.Image, image: Image, longest: int) -> tuple[PIL.Image.Image, int]:
    """The image, turned as EXIF says if that gives the annotated size, and libjpeg's reduction."""
    stored = opened.size
    orientation = _orientation(opened)
    turned = stored[::-1] if orientation >= 5 else stored
    annotated = (image.width, image.height)
    if annotated not in (turned, stored):
        raise DataError(
            f"an image must be of its annotated size, but {image.file} is {turned[0]}x{turned[1]} and its "
            f"annotation says {annotated[0]}x{annotated[1]}: mend the one that is wrong."
        )
    # libjpeg need not compute more than twice the size needed; the resize that follows smooths the rest.
    across, down = (max(1, 2 * longest * side // max(stored)) for side in stored)
    opened.draft("RGB", (across, down))
    factor = round(stored[0] / opened.width)
    return (PIL.ImageOps.exif_transpose(opened) if orientation > 1 and annotated == turned else opened), factor


def _orientation(opened: PIL.Image.Image) -> int:
    """EXIF's, 1 to 8; 1, upright, where it is missing or makes no sense."""
    if opened.format not in ("JPEG", "MPO"):
        opened.load()  # getexif loads a PNG too, and what that raises is not of the EXIF block
    try:
        found = opened.getexif().get(_ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError, struct.error):  # a broken EXIF block says nothing of the picture
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def rgb(upright: PIL.Image.Image, image: Image) -> PIL.Image.Image:
    """The picture of `image` in RGB, of whatever mode it is. DataError for more than 8 bits a channel."""
    if upright.mode.startswith(("I", "F")):
        raise DataError(
            f"images must have 8 bits a channel, but {image.file} is of PIL's mode {upright.mode}: convert "
            f"it, since how its values scale to 8 bits is yours to say."
        )
    if "transparency" in upright.info:
        # PIL warns where a palette with transparency is not taken by way of RGBA.
        upright = upright.convert("RGBA")
    return upright.convert("RGB")
