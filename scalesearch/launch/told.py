"""What a command says of its data before anything else: a line a split, and what was dropped or changed in reading."""

from __future__ import annotations

from scalesearch.data.sets import Data
from scalesearch.launch.console import Console


def tell_data(data: Data, console: Console) -> None:
    """`val: 87 images (2 without objects), 1,012 boxes (3 crowds)`, then the split's notes."""
    for split in dict.fromkeys((data.train, data.select, data.val)):
        empty = sum(not len(image.boxes) for image in split.images)
        boxes = sum(len(image.boxes) for image in split.images)
        crowds = sum(int(image.crowd.sum()) for image in split.images)
        console.say(
            f"{split.name}: {len(split.images):,} images{f' ({empty:,} without objects)' if empty else ''}, "
            f"{boxes:,} boxes{f' ({crowds:,} crowds)' if crowds else ''}"
        )
        for note in split.notes:
            console.say(f"  {note}")
