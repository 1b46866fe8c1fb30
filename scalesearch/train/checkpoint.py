"""Checkpoints that are whole or not there: written aside, published by rename. Imports torch."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import torch

NAME = "checkpoint.pt"


def save(folder: Path, state: dict[str, Any]) -> None:
    """Writes `state` as the folder's checkpoint, in place of the one before it."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, prefix="checkpoint-", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, folder / NAME)
    finally:
        # Also what a killed process left half written: a folder has one writer.
        for torn in folder.glob("checkpoint-*.part"):
            torn.unlink(missing_ok=True)


def load(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """The folder's checkpoint, or None where there is none."""
    file = folder / NAME
    if not file.exists():
        return None
    state: dict[str, Any] = torch.load(file, map_location=device, weights_only=True)
    return state
