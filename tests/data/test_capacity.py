"""Images that do not fit when decoded are decoded for each batch: the batches are the same, with a note."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scalesearch.data.capacity import Decoding, free_bytes
from scalesearch.data.coco import read_split
from scalesearch.data.decoded_file import decoded_folder, key_of
from scalesearch.data.look import looked_at
from scalesearch.data.pixels import batches, eval_batches, open_pixels
from scalesearch.inputs.machine import disk_kind
from scalesearch.io.lock import one_at_a_time
from tests.displays import watched

NEED = 10 * 48 * 64 * 3
"""Bytes of the fixture's ten training images at 48x64."""


@pytest.mark.parametrize("cached", [False, True])
def test_too_little_room_changes_no_batch(coco: Path, cached: bool) -> None:
    split, cache = read_split(coco, "train"), coco / "cache" if cached else None
    fly = open_pixels(split, (48, 64), cache, room=NEED - 1)
    assert isinstance(fly.array, Decoding) and len(fly) == 10 and fly.size == (48, 64)
    assert not cached or not any((coco / "cache").iterdir())
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


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_is_noted_before_a_mapped_file_is_written(
    reason: int, coco: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr("os.posix_fallocate", full)
    split = read_split(coco, "train")
    pixels = open_pixels(split, (48, 64), coco / "cache", room=NEED)
    (note,) = pixels.notes
    assert note == (
        f"train: 10 images decoded at 48x64 take {NEED / 2**30:.3g} GiB, but cannot be kept in {coco / 'cache'} "
        f"({os.strerror(reason)}): each is decoded again in each epoch"
    )
    assert list((coco / "cache").iterdir()) == []
    assert looked_at(split, coco / "cache").notes == split.notes
    assert np.array_equal(pixels.array[np.arange(10)], open_pixels(split, (48, 64)).array)


@pytest.mark.parametrize("writable", [False, True])
def test_a_cache_that_cannot_be_used_is_noted(writable: bool, coco: Path) -> None:
    cache = coco / "train" / "0.png" if writable else Path("/proc/scalesearch")
    split = read_split(coco, "train")
    (note,) = open_pixels(split, (48, 64), cache, room=NEED).notes
    assert f"but cannot be kept in {cache} (" in note
    assert looked_at(split, cache).notes == split.notes


# ---- one process decodes ----

OPEN = """\
import sys
from pathlib import Path
from scalesearch.data.coco import read_split
from scalesearch.data.decoded_file import kept_in_file
from tests.displays import watched
coco, seen = Path(sys.argv[1]), []
split = read_split(coco, "train")
print("ready", flush=True)
sys.stdin.readline()
with watched(lambda done, total, what: seen.append(done)):
    array = kept_in_file(split, (10, 48, 64, 3), coco / "cache")
assert "torch" not in sys.modules, "eight imports of it take a minute"
print(len(seen), int(array.sum()), flush=True)
"""


def test_eight_processes_decode_once(coco: Path) -> None:
    (coco / "cache").mkdir()
    key = open_pixels(read_split(coco, "train"), (48, 64), coco / "cache").array
    (made,) = (coco / "cache").iterdir()
    whole = int(key.sum())
    made.unlink()
    leftover = made.with_name(f".{made.name}.1-00000000.tmp")  # of a process that was killed
    leftover.write_bytes(b"half")
    command = [sys.executable, "-c", OPEN, str(coco)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(8)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [[int(part) for part in process.communicate(timeout=120)[0].split()] for process in processes]
    assert sorted(decoded for decoded, _ in said) == [0] * 7 + [10]
    assert {sum_ for _, sum_ in said} == {whole}
    assert list((coco / "cache").iterdir()) == [made]


def test_who_waits_says_so_and_decodes_if_the_other_did_not(coco: Path, caplog: pytest.LogCaptureFixture) -> None:
    split, cache, seen = read_split(coco, "train"), coco / "cache", list[int]()
    cache.mkdir()
    shown = threading.Event()

    def other() -> None:
        with one_at_a_time(lock):
            held.set()
            shown.wait(60)

    held, lock = threading.Event(), cache / f".pixels-{key_of(split)}-48x64.npy.lock"
    thread = threading.Thread(target=other)
    thread.start()
    assert held.wait(60)
    caplog.set_level(logging.INFO, "scalesearch")
    threading.Timer(0.2, shown.set).start()
    with watched(lambda done, total, what: seen.append(done)):
        assert open_pixels(split, (48, 64), cache, room=NEED).notes == ()
    thread.join()
    assert len(seen) == 10 and "waiting for another process that decodes the 10 images of train" in caplog.text


# ---- where ----


def test_decoded_images_are_on_a_disk_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, local = tmp_path / "home", tmp_path / "local"
    local.mkdir()
    kinds = {home: "ext4", local: "xfs", Path("/var/tmp"): "tmpfs", Path(tempfile.gettempdir()): "tmpfs"}

    def kind(folder: Path) -> str:
        return next((kinds[above] for above in (folder, *folder.parents) if above in kinds), "")

    monkeypatch.setattr("scalesearch.data.decoded_file.disk_kind", kind)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TMPDIR", str(local))
    monkeypatch.delenv("SCALESEARCH_CACHE", raising=False)
    usual = home / ".cache" / "scalesearch" / "pixels"
    assert decoded_folder() == usual
    for shared in ("nfs4", "lustre", "fuse.sshfs"):
        kinds[home] = shared
        assert decoded_folder() == local / f"scalesearch-{os.getuid()}" / "pixels"
    assert (local / f"scalesearch-{os.getuid()}").stat().st_mode & 0o077 == 0
    kinds[local] = "tmpfs"
    assert decoded_folder() == usual, "a disk in memory is none"
    kinds[local] = "xfs"
    (local / f"scalesearch-{os.getuid()}").rmdir()
    (local / f"scalesearch-{os.getuid()}").symlink_to(home)
    assert decoded_folder() == usual, "somebody else's link is not followed"
    monkeypatch.setenv("SCALESEARCH_CACHE", str(home / "named"))
    assert decoded_folder() == home / "named" / "pixels"


def test_the_kind_of_a_disk_is_known() -> None:
    assert disk_kind(Path("/proc/self")) == "proc" and disk_kind(Path("/not/there/yet")) == disk_kind(Path("/"))
