"""Checkpoints that are complete or absent: written aside, published by rename. Imports torch, nn and plan."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from scalesearch.io.publish import discard_leftovers, publishing
from scalesearch.nn.checkpoints import unpickled
from scalesearch.plan.task import TaskError
from scalesearch.training.folder import BEST, EVALUATIONS, FORMER, LAST

__all__ = ["BEST", "EVALUATIONS", "FORMER", "LAST", "last", "load", "save"]


def save(folder: Path, state: dict[str, Any], name: str = LAST) -> None:
    """Write `state` as the folder's checkpoint of that name, replacing the one before it.

    TaskError where the disk does not take it, since no other training would fare better.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Remove what a killed process left half written: a folder has one writer.
    discard_leftovers(folder, name)
    try:
        with publishing(folder / name) as aside:
            torch.save(state, aside)
    except (OSError, RuntimeError) as error:  # torch turns OSError into RuntimeError
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise TaskError(
            f"{folder}: a checkpoint must fit on its disk, where {shutil.disk_usage(folder).free / 1e6:.0f} MB are free, "
            f"but writing it failed ({reason}); make room, and the same command continues"
        ) from None
    if name == LAST:
        (folder / FORMER).unlink(missing_ok=True)


def last(folder: Path) -> Path | None:
    """Return the checkpoint from which a training in this folder continues; None without one."""
    return next((folder / name for name in (LAST, FORMER) if (folder / name).exists()), None)


def load(folder: Path) -> dict[str, Any] | None:
    """Return the content of the folder's last checkpoint, on the CPU; None without one. TaskError for another file."""
    file = last(folder)
    if file is None:
        return None
    try:
        state = unpickled(file)
    except ValueError as error:
        raise TaskError(f"{error}: move it away to train anew") from None
    if not (isinstance(state, dict) and _counts(state.get("epoch")) and _counts(state.get("step", 0))):
        raise TaskError(
            f"a training continues from a checkpoint of its own, but {file} is none: move it away to train anew"
        )
    return state


def _counts(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**31
