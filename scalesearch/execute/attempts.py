"""Attempts at a training on a cluster, each in a folder of its own.

An attempt starts as a copy of the latest attempt's files. Only the driver moves results into the task's folder: a worker
that was taken for dead (its machine slept or lost its network) and wakes cannot overwrite its successor's results.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from scalesearch.io.publish import publishing_folder
from scalesearch.plan.task import Task


def new_attempt(task: Task) -> Task:
    """Return the task in the folder of a new attempt, with paths that hold on every machine."""
    folder = task.folder.absolute() / f"{span(task)}{time.time_ns()}-{uuid.uuid4().hex[:6]}"
    return replace(task, folder=folder, weights=task.weights.absolute() if task.weights else None)


def span(task: Task) -> str:
    """Return the prefix of the folders of all attempts at these epochs; any of them is valid to continue from."""
    return f"attempt-{task.from_epoch}-{task.to_epoch}-"


def begin(task: Task) -> None:
    """Make the attempt's folder atomically, as a copy of the latest earlier attempt or of the task's own files."""
    folder = task.folder.parent
    folder.mkdir(parents=True, exist_ok=True)
    earlier = sorted((path for path in folder.glob(f"{span(task)}*") if path.is_dir()), reverse=True)
    with publishing_folder(task.folder) as aside:
        for source in (*earlier, folder):
            for file in _files(source):
                with contextlib.suppress(FileNotFoundError):  # replaced or removed meanwhile
                    shutil.copy2(file, aside)
            if any(aside.iterdir()):
                break


def publish(task: Task) -> None:
    """Move an attempt's files into the task's folder, each atomically, and remove all attempts."""
    folder = task.folder.parent
    for file in _files(task.folder):
        os.replace(file, folder / file.name)
    for leftover in _leftovers(folder):
        shutil.rmtree(leftover, ignore_errors=True)


def _files(folder: Path) -> Iterator[Path]:
    """Return the files that a training left in its folder, without half-written ones."""
    return (file for file in sorted(folder.iterdir()) if file.is_file() and file.suffix not in (".part", ".tmp"))


def _leftovers(folder: Path) -> Iterable[Path]:
    return [*folder.glob("attempt-*"), *folder.glob(".attempt-*")]
