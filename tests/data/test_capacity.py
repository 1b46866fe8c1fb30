"""Images that do not fit when decoded are decoded for each batch: the batches are the same, with a note."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
import torch

from scalesearch.data.capacity import Decoding, free_bytes
from scalesearch.data.coco import read_split
from scalesearch.data.pixels import batches, eval_batches, open_pixels
from scalesearch.data.split import DataError

NEED = 10 * 48 * 64 * 3
"""Bytes of the fixture's ten training images at 48x64."""


@pytest.mark.parametrize("cached", [False, True])
def test_too_little_room_changes_no_batch(coco: Path, cached: bool) -> None:
    split, cache = read_split(coco, "train"), coco / "cache" if cached else None
    fly = open_pixels(split, (48, 64), cache, room=NEED - 1)
    assert isinstance(fly.array, Decoding) and len(fly) == 10 and fly.size == (48, 64)
    assert not (coco / "cache").exists()
    kept = open_pixels(split, (48, 64), cache, room=NEED)
    assert isinstance(kept.array, np.ndarray) and kept.notes == ()
    for batch in (lambda p: batches(p, batch=4, seed=1, epoch=2), lambda p: eval_batches(p, 4)):
        for one, other in zip(batch(fly), batch(kept), strict=True):
            assert all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("images", "boxes", "labels"))


def test_the_note_says_what_is_lacking_where(coco: Path) -> None:
    split = read_split(coco, "train")
    (note,) = open_pixels(split, (48, 64), coco / "cache", room=0).notes
    assert note == (
        f"train: 10 images decoded at 48x64 take {NEED / 2**30:.3g} GiB, but 0 GiB are free on the cache's disk: each is "
        "decoded again in each epoch"
    )
    assert "free in memory" in open_pixels(split, (48, 64), room=0).notes[0]


def test_what_is_cached_already_needs_no_room(coco: Path) -> None:
    split, cache = read_split(coco, "train"), coco / "cache"
    open_pixels(split, (48, 64), cache)
    assert open_pixels(split, (48, 64), cache, room=0).notes == ()


def test_what_is_free_is_read(tmp_path: Path) -> None:
    assert free_bytes(None) > 2**20
    assert free_bytes(tmp_path / "not" / "there" / "yet") > 2**20


def test_a_disk_that_fills_up_is_an_error_before_a_mapped_file_is_written(
    coco: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(DataError, match=r"10 images decoded at 48x64 need .* its disk is filling up \(No space left"):
        open_pixels(read_split(coco, "train"), (48, 64), coco / "cache", room=NEED)
    assert list((coco / "cache").iterdir()) == []
