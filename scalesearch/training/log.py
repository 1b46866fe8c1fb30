"""log.csv of a training: one line per epoch, appended; the same lines however often the training was interrupted.

Imports io, and TensorBoard only where it is asked for.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scalesearch.io.publish import publishing

FILE = "log.csv"
COLUMNS = (
    *("epoch", "step", "learning_rate", "loss", "class_loss", "box_loss"),
    *("ap", "ap50", "images_per_second", "memory", "seconds"),
)
"""Losses are means over the epoch, box_loss before its weight. The learning rate is the last step's. Memory is the peak
in bytes. Seconds are of training since its start. AP is empty where nothing was evaluated."""


class Log:
    """The log of the training in `folder`, continued after `epoch` epochs: later lines, of lost work, are removed.

    With `tensorboard` the same values go to event files in the folder tensorboard/. ValueError where that package is
    not installed.
    """

    def __init__(self, folder: Path, epoch: int, *, tensorboard: bool = False) -> None:
        self._file = folder / FILE
        self._board = _board(folder / "tensorboard", epoch) if tensorboard else None
        kept = [line for line in read_log(self._file) if int(line["epoch"]) <= epoch]
        with publishing(self._file) as aside, aside.open("w", newline="", encoding="utf-8") as out:
            writer = csv.DictWriter(out, COLUMNS)
            writer.writeheader()
            writer.writerows(kept)

    def add(self, numbers: Mapping[str, float | None]) -> None:
        """Append a line; `numbers` by column, None or absent where unknown."""
        with self._file.open("a", newline="", encoding="utf-8") as out:
            csv.DictWriter(out, COLUMNS).writerow({name: _text(numbers.get(name)) for name in COLUMNS})
        if self._board is not None:
            for name, value in numbers.items():
                if value is not None and name not in ("epoch", "step"):
                    self._board.add_scalar(name, value, int(numbers["epoch"] or 0))
            self._board.flush()


def read_log(file: Path) -> list[dict[str, str]]:
    """Return the complete lines of a log by column, in order; [] without a log. A line torn by a crash is skipped."""
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf-8") as lines:
        found = list(csv.DictReader(lines))
    return [line for line in found if None not in line.values() and line.keys() == set(COLUMNS)]


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _board(folder: Path, epoch: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ValueError(
            "a log for TensorBoard needs that package, which is not installed: pip install 'scalesearch[tensorboard]'"
        ) from None
    # Entries after `epoch` are of lost work.
    return SummaryWriter(str(folder), purge_step=epoch + 1)
