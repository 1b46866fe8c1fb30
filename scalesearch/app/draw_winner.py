"""The picture of what a study's best winner detects on eight images of val."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from scalesearch.app.predict import drawn_on
from scalesearch.app.trained_model import open_model
from scalesearch.data.sets import open_split
from scalesearch.data.split import DataError, Image, Split
from scalesearch.evidence.noise import by_seed
from scalesearch.io.hashes import file_hash
from scalesearch.plan.plan import Plan
from scalesearch.records.folder import read_rows
from scalesearch.study.jobs import weights_folder
from scalesearch.training import checkpoint
from scalesearch.webpage.detections import IMAGES, PICTURE, SCORE, DrawnBy, source_of, write_picture

logger = logging.getLogger(__name__)


def draw_winner(path: Path, plan: Plan, split: Split | None = None) -> Path | None:
    """Draw what the best winner of the study in `path` detects, beside front.png, and return the picture's path.

    The images are those of val that have objects, evenly spaced in their order: not chosen by how well it does. The seed
    is the lowest. None where there is no winner, or its weights are not here. A picture of the same weights is kept.
    """
    groups = by_seed(read_rows(path), ["winner"])
    if not groups:
        return None
    row, picture = groups[0].first, path / PICTURE
    folder = weights_folder(path, row.spec_id, row.recipe_id, row.seed)
    weights = checkpoint.last(folder)
    if weights is None:
        return None
    source = DrawnBy(row.spec_id, row.recipe_id, str(row.seed), file_hash(weights))
    if source_of(picture) == source:
        return picture
    model = open_model(folder)
    images = chosen((split or open_split(plan.data.source, plan.data.val)).images)
    try:
        drawings = [drawn_on(model, image.file, score=SCORE) for image in images]
    except DataError as error:
        logger.warning(f"no picture of detections: {error}")
        return None
    write_picture(picture, drawings, source)
    logger.info(f"detections of the best winner on {len(images)} images: {picture}")
    return picture


def chosen(images: Sequence[Image]) -> list[Image]:
    """Return at most `IMAGES` images with objects, evenly spaced in their order; images without, where none has any."""
    known = [image for image in images if len(image.boxes)] or list(images)
    count = min(IMAGES, len(known))
    return [known[(2 * place + 1) * len(known) // (2 * count)] for place in range(count)]
