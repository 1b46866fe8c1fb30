"""Decoding of image files: upright, RGB, at the scale of the letterbox. Imports NumPy and PIL.

Accepts every 8-bit mode, and 16-bit grey where the file gives its range. An image that cannot be decoded or does not
have its annotated size is refused by name.
"""

from __future__ import annotations

import io
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import PIL.Image
import PIL.TiffImagePlugin
from numpy.typing import NDArray

from scalesearch.data.bytes import mended, significant_bits
from scalesearch.data.split import DataError, Image, Split

_TOLD = 5
"""Refused images whose reason is given; the others are counted."""
_LEAST = 0.5
"""Least share of a JPEG's rows that must be present where its end is missing."""
_ORIENTATION = 0x0112
_TURNS = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> the transpose that brings the image upright."""

MOST = PIL.Image.MAX_IMAGE_PIXELS or 0
"""Most pixels of an image, 89 million: PIL's bound, above which it warns of decompression bombs."""
warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)  # as PIL's documentation has it
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # broken metadata does not harm the pixels


class Upright(NamedTuple):
    """An image turned upright."""

    picture: PIL.Image.Image
    """RGB."""
    factor: int
    """libjpeg's reduction of it: stored width / decoded width."""
    remarks: tuple[str, ...]
    """Changes to it that the user should know of."""


def letterbox(image: Image, size: tuple[int, int]) -> tuple[float, int, int]:
    """Return (scale, rows, columns) of an image inside (h, w): the largest that fits; a partial last row is cut."""
    scale = min(size[0] / image.height, size[1] / image.width)
    rows, columns = (max(1, int(side * scale + 1e-6)) for side in (image.height, image.width))
    return scale, rows, columns


def refuse(refused: list[DataError], split: Split) -> None:
    """Raise DataError naming the refused images. None is skipped: scores would be of other images than rows say."""
    others = "; ".join(str(error).rstrip(".") for error in refused[:_TOLD])
    more = f"; and {len(refused) - _TOLD} more" if len(refused) > _TOLD else ""
    count = f" ({len(refused)} of the {len(split.images)} images of {split.name} are refused)" if refused[1:] else ""
    raise DataError(f"{others}{more}{count}.") from refused[0]


def decode_image(image: Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Decode to uint8 [rows, columns, 3] for input size (h, w): upright, at the scale of its letterbox. DataError."""
    scale, rows, columns = letterbox(image, size)
    upright, factor, _ = read_upright(image.file, (image.width, image.height), max(rows, columns))
    # The source rectangle that the letterbox shows, so that the scale is exactly the same on both axes.
    region = (min(columns / scale / factor, upright.width), min(rows / scale / factor, upright.height))
    resized = upright.resize((columns, rows), PIL.Image.Resampling.BILINEAR, box=(0, 0, *region))
    return np.asarray(resized)


def read_upright(file: Path, annotated: tuple[int, int] | None = None, longest: int | None = None) -> Upright:
    """Read the image in `file`; turn it as EXIF says, unless that contradicts the `annotated` (width, height).

    A JPEG may be decoded at a reduced size, at least twice `longest`. Missing last rows are grey; broken metadata is
    ignored. DataError for a file that is no image, too large, not of the annotated size, or of more than 8 bits a
    channel without a range.
    """
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # reading a FIFO or a device would block
            raise DataError(f"an image must be a file, but {_named(file)} is none: leave it out.")
        return _upright(file, file, annotated, longest)
    except DataError:
        raise
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning):
        raise _too_large(file) from None
    except Exception as error:  # PIL's decoders raise many types: OSError, SyntaxError, struct.error, zlib.error
        for content, ended in _again(file):
            try:
                return _upright(content, file, annotated, longest, ended=ended)
            except DataError:
                raise
            except Exception:  # noqa: BLE001, S112 - the first error is reported
                continue
        reason = " ".join(str(error).split()).replace(str(file), file.name) or type(error).__name__
        raise DataError(f"an image must be readable, but {_named(file)} is not ({reason}): write it again.") from error


def _again(file: Path) -> Iterator[tuple[BinaryIO, bool]]:
    try:
        raw = file.read_bytes()
    except OSError:
        return
    for content, ended in mended(raw):
        yield io.BytesIO(content), ended


def _upright(
    source: Path | BinaryIO,
    file: Path,
    annotated: tuple[int, int] | None,
    longest: int | None,
    *,
    ended: bool = False,
) -> Upright:
    with PIL.Image.open(source) as opened:
        stored = opened.size
        if stored[0] * stored[1] > MOST:
            raise _too_large(file)
        orientation = _orientation(opened)
        turned = stored[::-1] if orientation >= 5 else stored
        if annotated not in (None, turned, stored):
            raise DataError(
                f"an image must be of its annotated size, but {file} is {turned[0]}x{turned[1]} and its "
                f"annotation says {annotated[0]}x{annotated[1]}: mend the one that is wrong."
            )
        if longest is not None:
            # Decode at about twice the size needed; the resize that follows smooths the rest.
            across, down = (max(1, 2 * longest * side // max(stored)) for side in stored)
            opened.draft("RGB", (across, down))
        factor = round(stored[0] / opened.width)
        opened.load()
        cut = _cut(opened, file) if ended else ""
        picture, scaled = rgb(opened, file)
        if orientation > 1 and annotated in (None, turned):
            picture = picture.transpose(_TURNS[orientation])
        return Upright(picture, factor, tuple(remark for remark in (cut, scaled) if remark))


def _too_large(file: Path) -> DataError:
    return DataError(
        f"an image must have at most {MOST / 1e6:.0f} million pixels, but {_named(file)} has more: cut it into tiles, or "
        "shrink it."
    )


def _cut(opened: PIL.Image.Image, file: Path) -> str:
    """Return a remark on the rows that libjpeg filled with grey; DataError where they are more than half."""
    rows = np.asarray(opened.convert("RGB")).astype(np.int16)
    there = np.flatnonzero((np.abs(rows - 128) > 1).any(axis=(1, 2)))
    share = 1 - float(there[-1] + 1) / len(rows) if len(there) else 1.0
    if share > _LEAST:
        raise DataError(
            f"an image must be whole, but {_named(file)} is cut off after {1 - share:.0%} of its rows: write it again."
        )
    return "cut off: the missing last rows are grey"


def _named(file: Path) -> str:
    """Return the path as one line of text, also where its bytes are not UTF-8."""
    return str(file).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _orientation(opened: PIL.Image.Image) -> int:
    """Return EXIF's orientation, 1 to 8; 1 (upright) where it is missing or invalid."""
    if opened.format not in ("JPEG", "MPO"):
        opened.load()  # getexif loads a PNG too, and its decoding errors must not be taken for EXIF errors
    try:
        found = opened.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - a broken EXIF block may raise anything and does not harm the pixels
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def rgb(opened: PIL.Image.Image, file: Path) -> tuple[PIL.Image.Image, str]:
    """Convert a loaded image of any mode to RGB; return it with a remark on how its values were scaled, if they were.

    DataError for more than 8 bits a channel where the file does not give their range.
    """
    if opened.mode.startswith(("I", "F")):
        return _eight_bits(opened, file)
    if "transparency" in opened.info:
        # PIL warns where a palette with transparency is not converted by way of RGBA.
        opened = opened.convert("RGBA")
    return opened.convert("RGB"), ""


def _eight_bits(opened: PIL.Image.Image, file: Path) -> tuple[PIL.Image.Image, str]:
    """Scale grey of more than 8 bits to 0..255 by the range in PNG's sBIT, TIFF's SMax- or MaxSampleValue, or PGM."""
    found = _range(opened, file)
    if found is None:
        raise DataError(
            f"images must have 8 bits a channel, or say their range (PNG: sBIT, TIFF: SMaxSampleValue, PGM), but "
            f"{_named(file)} is of PIL's mode {opened.mode} and does not: convert it to 8 bits, since only you know "
            "how its values scale."
        )
    low, high = found
    values = (np.asarray(opened).astype(np.float64) - low) * (255 / (high - low))
    made = PIL.Image.fromarray(np.nan_to_num(values).clip(0, 255).round().astype(np.uint8))
    return made.convert("RGB"), f"of more than 8 bits, scaled from {low:g}..{high:g} to 0..255 as their files say"


def _range(opened: PIL.Image.Image, file: Path) -> tuple[float, float] | None:
    """Return (black, white); None where the file does not give them."""
    low, high = 0.0, 0.0
    if isinstance(opened, PIL.TiffImagePlugin.TiffImageFile):
        tags = [(340, 341), (280, 281)]  # SMinSampleValue, SMaxSampleValue; MinSampleValue, MaxSampleValue
        for least, most in tags:
            if most in opened.tag_v2:
                low, high = (_first(opened.tag_v2.get(tag, 0)) for tag in (least, most))
                break
        if opened.tag_v2.get(262) == 0:  # PhotometricInterpretation: white is 0
            low, high = high, low
    elif opened.format == "PNG" and (bits := significant_bits(file.read_bytes())):
        # The standard wants samples scaled up to 16 bits; some writers store them unscaled, the upper bits 0.
        high = 2.0**bits - 1 if np.asarray(opened).max() < 2**bits else 65535.0
    elif opened.format == "PPM" and opened.mode.startswith("I"):
        high = 65535.0  # PIL has scaled maxval to that
    return (low, high) if low != high else None


def _first(value: object) -> float:
    first = value[0] if isinstance(value, tuple) else value
    try:
        number = float(first)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return number if np.isfinite(number) else 0.0
