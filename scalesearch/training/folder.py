"""The folder of one training: its file names, and whether a folder may be one. Imports io; never torch."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

from scalesearch.io.target import TargetError, claim_folder

LAST = "last.pt"
"""The state to continue from; its evaluated weights are those of results and reports."""
BEST = "best.pt"
"""Weights of the evaluation with the best AP so far, usable alone. Chosen on the images that they are scored on."""
FORMER = "checkpoint.pt"
"""The former name of LAST; still read."""
EVALUATIONS = "told"
"""Key of a checkpoint for the metrics of its evaluations, as JSON. The word cannot change: files have it."""
LOG = "log.csv"
RESULT = "result.json"
_ROOM = 16 * 2**20
"""Bytes of free space required: the checkpoints of a small detector."""


def claim_training(folder: Path) -> None:
    """Check that a training can start or continue in `folder`, and that files of those names are a training's.

    Raises TargetError.
    """
    claim_folder(folder, "a training", room=_ROOM)
    for name, ours in _OURS.items():
        file = folder / name
        if file.exists() and not _is_one(file, ours):
            raise TargetError(
                f"{folder}: a training has a folder of its own, but {name} there is something else; name another with --out"
            )


def _is_one(file: Path, ours: Callable[[Path], bool]) -> bool:
    try:
        return file.is_file() and (not file.stat().st_size or ours(file))
    except (OSError, ValueError, RecursionError, zipfile.BadZipFile):
        return False


def _is_checkpoint(file: Path) -> bool:
    """Whether torch wrote the file and it has keys of our checkpoints."""
    with zipfile.ZipFile(file) as opened:
        (plain,) = (name for name in opened.namelist() if name.endswith("/data.pkl"))
        names = opened.read(plain)
    return EVALUATIONS.encode() in names and (b"evaluated" in names or b"task" in names)


def _is_log(file: Path) -> bool:
    with file.open(encoding="utf-8") as lines:
        return lines.readline().startswith("epoch,step,learning_rate,loss")


def _is_result(file: Path) -> bool:
    found = json.loads(file.read_text(encoding="utf-8"))
    return isinstance(found, dict) and {"spec", "recipe", "seed"} <= found.keys()


_OURS = {LAST: _is_checkpoint, BEST: _is_checkpoint, FORMER: _is_checkpoint, LOG: _is_log, RESULT: _is_result}
