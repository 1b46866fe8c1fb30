"""Detections drawn on an image: a frame for each, labelled with class and score. Imports PIL."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


class Drawn(NamedTuple):
    """One detection to draw."""

    box: tuple[float, float, float, float]
    """xyxy in pixels of the image."""
    label: int
    """Class label, which determines the colour."""
    text: str


def class_colour(label: int) -> Colour:
    """Return the colour of a class: consecutive labels differ in hue by the golden angle, with three shades in turn."""
    hue, value = label * 0.618034 % 1.0, (1.0, 0.8, 0.9)[label % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, (0.85, 0.7, 1.0)[label % 3], value)
    return round(255 * red), round(255 * green), round(255 * blue)


def text_colour(background: Colour) -> Colour:
    """Return black or white, whichever has more contrast with the background (WCAG, relative luminance)."""
    red, green, blue = ((c / 255) ** 2.2 for c in background)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return (0, 0, 0) if (luminance + 0.05) ** 2 > 1.05 * 0.05 else (255, 255, 255)


def draw_boxes(picture: Image.Image, found: Sequence[Drawn]) -> Image.Image:
    """Return a copy of an RGB image with the detections drawn on it; small images are enlarged.

    `found` is ordered best first.
    """
    factor = max(1, round(480 / max(picture.size)))
    drawn = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    pen, side = ImageDraw.Draw(drawn), max(drawn.size)
    line, font = max(2, round(side / 400)), ImageFont.load_default(max(11, round(side / 55)))
    for one in reversed(found):  # the best on top
        x0, y0, x1, y1 = (factor * value for value in one.box)
        # The frame lies outside its box, since it would cover a box of a few pixels.
        around = (x0 - line, y0 - line, max(x0, x1 - 1) + line, max(y0, y1 - 1) + line)
        pen.rectangle(around, None, class_colour(one.label), line)
    for one in reversed(found):
        _label(pen, drawn.size, one, (factor * one.box[0] - line, factor * one.box[1] - line), font)
    return drawn


def _label(
    pen: ImageDraw.ImageDraw, size: tuple[int, int], one: Drawn, corner: tuple[float, float], font: Font
) -> None:
    """Draw the text above the box's corner, or below it at the image's edge; never outside the image."""
    left, top, right, bottom = pen.textbbox((0, 0), one.text, font)
    width, height = right - left + 6, bottom - top + 4
    x = min(max(0.0, corner[0]), max(0.0, size[0] - width))
    y = corner[1] - height if corner[1] >= height else min(max(0.0, corner[1]), size[1] - height)
    background = class_colour(one.label)
    pen.rectangle((x, y, x + width, y + height), background)
    pen.text((x + 3 - left, y + 2 - top), one.text, text_colour(background), font)
