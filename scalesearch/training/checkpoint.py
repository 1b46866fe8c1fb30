"""Checkpoints that are whole or not there: written aside, published by rename. Imports torch, nn and plan."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from scalesearch.nn.checkpoints import unpickled
from scalesearch.plan.task import TaskError

LAST = "last.pt"
"""All that going on needs; its evaluated weights are those that results and reports tell of."""
BEST = "best.pt"
"""The weights of the best evaluation so far by AP, for use alone. Chosen on the images that they are scored on."""
FORMER = "checkpoint.pt"
"""The name of LAST until it had a companion; still read."""


def save(folder: Path, state: dict[str, Any], name: str = LAST) -> None:
    """Writes `state` as the folder's checkpoint of that name, in place of the one before it.

    TaskError where the disk does not take it, which no other training would fare better with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=folder, prefix="checkpoint-", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, folder / name)
    except (OSError, RuntimeError) as error:  # torch makes the one into the other
        told = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise TaskError(
            f"{folder}: a checkpoint must fit on its disk, where {shutil.disk_usage(folder).free / 1e6:.0f} MB are free, "
            f"but writing it failed ({told}); make room, and the same command continues"
        ) from None
    finally:
        # Also what a killed process left half written: a folder has one writer.
        for torn in folder.glob("checkpoint-*.part"):
            torn.unlink(missing_ok=True)
    if name == LAST:
        (folder / FORMER).unlink(missing_ok=True)


def last(folder: Path) -> Path | None:
    """The checkpoint that a training in this folder goes on from; None where there is none."""
    return next((folder / name for name in (LAST, FORMER) if (folder / name).exists()), None)


def load(folder: Path) -> dict[str, Any] | None:
    """The content of the folder's last checkpoint, on the CPU, or None where there is none. TaskError for another file."""
    file = last(folder)
    if file is None:
        return None
    try:
        state = unpickled(file)
    except ValueError as error:
        raise TaskError(f"{error}: move it away to train anew") from None
    if not (isinstance(state, dict) and "epoch" in state):
        raise TaskError(
            f"a training goes on from a checkpoint of its own, but {file} is none: move it away to train anew"
        )
    return state
