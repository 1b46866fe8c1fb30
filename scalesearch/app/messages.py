"""Messages of a command before and after its work: on its data, and on the results of a study."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

from scalesearch.data.decoded_file import decoded_folder
from scalesearch.data.look import looked_at
from scalesearch.data.sets import Data
from scalesearch.report.facts import Facts

logger = logging.getLogger(__name__)


def look_at(data: Data) -> Data:
    """Check every image and return the data with notes on them. DataError names images that cannot be decoded."""
    cache = decoded_folder()
    parts = {id(part): part for part in (data.train, data.select, data.val)}
    looked = {i: looked_at(part, cache) for i, part in parts.items()}
    train, select, val = (looked[id(part)] for part in (data.train, data.select, data.val))
    return dataclasses.replace(data, train=train, select=select, val=val)


def tell_data(data: Data) -> None:
    """Say for each split `val: 87 images (2 without objects), 1,012 boxes (3 crowds)`, then its notes."""
    for split in dict.fromkeys((data.train, data.select, data.val)):
        empty = sum(not len(image.boxes) for image in split.images)
        boxes = sum(len(image.boxes) for image in split.images)
        crowds = sum(int(image.crowd.sum()) for image in split.images)
        logger.info(
            f"{split.name}: {len(split.images):,} images{f' ({empty:,} without objects)' if empty else ''}, "
            f"{boxes:,} boxes{f' ({crowds:,} crowds)' if crowds else ''}"
        )
        for note in split.notes:
            logger.info(f"  {note}")
    if roots := dict.fromkeys((*data.train.roots, *data.val.roots)):
        named = ", ".join(f"{category.id} {category.name!r}" for category in roots)
        logger.info(f"left out of the classes: {named}, the supercategory of others and without a box")


def tell_found(facts: Facts, folder: Path) -> None:
    """Say `front: 3 of 12 candidates, the best AP 0.412 on ...: results/x/front.csv`, the winners and the failures."""
    count = len(facts.trials)
    if facts.front:
        ap, split = facts.front[0].value("ap"), facts.front[0].rows[0].splits["evaluated"]
        logger.info(
            f"front: {len(facts.front)} of {count} candidates, the best AP {ap:.3f} on {split}: {folder / 'front.csv'}"
        )
    else:
        logger.warning(f"front: empty, since none of {count} candidates was trained to the end")
    if facts.winners and (spread := facts.winners[0].spread()):
        split = facts.winners[0].first.splits["evaluated"]
        logger.info(f"winners: {len(facts.winners)}, the best AP {spread} on {split}: {folder / 'weights'}")
    if facts.failed:
        logger.warning(f"failed: {len(facts.failed)} trainings, each with its reason in the report")
