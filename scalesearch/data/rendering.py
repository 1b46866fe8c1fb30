"""The drawing of one `digits` image: a cluttered background, and handwritten digits as ink over it.

NumPy and PIL only. PIL draws and resizes on bytes, in integer arithmetic, so that a seed gives the same boxes and, to
the last rounding, the same image on any machine.
"""

from __future__ import annotations

import numpy as np
import PIL.Image
import PIL.ImageDraw
from numpy.random import Generator
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

_SHARP = [min(255, max(0, (value - 97) * 6)) for value in range(256)]
_INSIDE = [255 * (value >= 128) for value in range(256)]

_TILT = 12.0
"""Largest tilt in degrees, either way."""

_LUMA = np.array([0.299, 0.587, 0.114])

_CONTRAST = (75.0, 140.0)
"""Brightness difference (of 255) between a digit's ink and the mean of the background under it."""

_Filter = PIL.Image.Resampling


def background(rng: Generator, side: int) -> Bytes:
    """Draw [side, side, 3]: two octaves of smooth colour, then strokes, arcs and blobs as distractors."""
    base = rng.uniform(50, 205)
    broad = _octave(rng, cells=4, side=side, strength=30)
    detail = _octave(rng, cells=20, side=side, strength=12)
    ground = np.clip(base + broad + detail, 0, 255).astype(np.uint8)
    double = PIL.Image.fromarray(ground).resize((2 * side, 2 * side), _Filter.BILINEAR)
    draw = PIL.ImageDraw.Draw(double)
    for _ in range(int(rng.integers(6, 15))):
        _scribble(rng, draw, 2 * side, base)
    return np.asarray(double.resize((side, side), _Filter.BOX))


def ink(rng: Generator, sample: NDArray[np.float64], longest: int) -> Bytes:
    """Return the coverage [h, w] (0 to 255) of a handwritten sample [8, 8] (0 to 16), tilted, cropped to its ink.

    The longer side is `longest` pixels. The 8x8 counts are enlarged smoothly and then sharpened.
    """
    counts = np.pad(np.round(sample * (255 / 16)).astype(np.uint8), 2)
    fine = len(counts) * (16 if longest > 40 else 8)
    turned = PIL.Image.fromarray(counts).resize((fine, fine), _Filter.BICUBIC)
    sharp = turned.rotate(rng.uniform(-_TILT, _TILT), _Filter.BILINEAR).point(_SHARP)
    cut = sharp.crop(sharp.point(_INSIDE).getbbox())
    zoom = longest / max(cut.size)
    width, height = (max(2, round(extent * zoom)) for extent in cut.size)
    return np.asarray(cut.resize((width, height), _Filter.BOX if zoom < 1 else _Filter.BILINEAR))


def write(rng: Generator, canvas: NDArray[np.float64], coverage: Bytes, left: int, top: int) -> None:
    """Paint the digit on `canvas` [side, side, 3] in place, in a colour that contrasts with it."""
    height, width = coverage.shape
    under = canvas[top : top + height, left : left + width]
    ground = float((under @ _LUMA).mean())
    room = {1: 250 - ground, -1: ground - 5}
    sign = int(rng.choice([-1, 1]))
    sign = sign if room[sign] >= _CONTRAST[0] else -sign
    wanted = ground + sign * rng.uniform(_CONTRAST[0], max(_CONTRAST[0], min(_CONTRAST[1], room[sign])))
    hue = rng.uniform(-45, 45, 3)
    colour = np.clip(wanted + hue - hue @ _LUMA, 0, 255)
    share = coverage[..., None] / 255
    under += share * (colour - under)


def noisy(rng: Generator, canvas: NDArray[np.float64]) -> Bytes:
    """Return the canvas with camera noise, as bytes."""
    return np.clip(canvas + rng.normal(0, rng.uniform(2, 9), canvas.shape), 0, 255).round().astype(np.uint8)


def _octave(rng: Generator, *, cells: int, side: int, strength: float) -> NDArray[np.float64]:
    """Return smooth deviations [side, side, 3], mostly shared by the three colours."""
    grey = rng.uniform(-strength, strength, (cells, cells, 1))
    coarse = 128 + grey + rng.uniform(-strength, strength, (cells, cells, 3)) / 2
    smooth = PIL.Image.fromarray(coarse.astype(np.uint8)).resize((side, side), _Filter.BICUBIC)
    return np.asarray(smooth, dtype=np.float64) - 128


def _scribble(rng: Generator, draw: PIL.ImageDraw.ImageDraw, side: int, base: float) -> None:
    """Draw one stroke, arc, blob or box, of a brightness near the background's."""
    red, green, blue = (int(value) for value in np.clip(base + rng.uniform(-60, 60, 3), 0, 255))
    colour = (red, green, blue)
    x, y = rng.integers(0, side, 2).tolist()
    width, height = (6 * 2 ** rng.uniform(0, 4.5, 2)).astype(int).tolist()
    pen = int(rng.integers(2, 13))
    turn = float(rng.uniform(0, 360))
    match int(rng.integers(0, 4)):
        case 0:
            points = [tuple(point) for point in rng.integers(0, side, (int(rng.integers(2, 4)), 2)).tolist()]
            draw.line(points, fill=colour, width=pen, joint="curve")
        case 1:
            draw.arc((x, y, x + width, y + height), turn, turn + rng.uniform(60, 220), fill=colour, width=pen)
        case 2:
            draw.ellipse((x, y, x + width, y + height), fill=colour)
        case _:
            corners = [
                (x, y),
                (x + width, y + pen),
                (x + width - pen, y + height),
                (x - pen, y + height - pen),
            ]
            draw.polygon(corners, fill=colour)
