"""The file of a split's decoded images at one input size: where it is, how it is made once, and what it holds.

Imports NumPy.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scalesearch.data.capacity import free_bytes, reserve
from scalesearch.data.decode import decode_image, refuse
from scalesearch.data.split import DataError, Image, Split
from scalesearch.inputs.machine import disk_kind, usable_processors
from scalesearch.io.cache import CACHE, cache_folder
from scalesearch.io.lock import one_at_a_time
from scalesearch.io.progress import bar
from scalesearch.io.publish import discard_leftovers, publishing

logger = logging.getLogger(__name__)

PAD = (124, 116, 104)
"""ImageNet's mean as bytes: `normalise` takes it to 0 +- 0.01, or +- 0.18 by half. EfficientDet pads normalised images
with 0. One value for both lets all detectors share a file of decoded images."""

_VERSION = 1
_SHARED = (
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afpfs", "afs", "ncpfs", "9p"),
    *("lustre", "gpfs", "beegfs", "ceph", "glusterfs", "panfs", "wekafs", "pvfs2", "orangefs", "fhgfs", "fuse."),
)
"""File systems of other machines, by the beginning of their names (`fuse.sshfs`, `fuse.glusterfs`)."""
_IN_MEMORY = ("tmpfs", "ramfs")


def decoded_folder() -> Path:
    """Return the folder for decoded images and what is computed from them: of this machine, since they are mapped into
    memory and read at random.

    It is in the cache folder, unless that is on a disk of another machine, as the home of a cluster's nodes is. Then it
    is in TMPDIR, else in /var/tmp, in a folder of this user. SCALESEARCH_CACHE decides alone. ValueError as
    `cache_folder`.
    """
    usual = cache_folder()
    if os.environ.get(CACHE) or not _shared(usual):
        return usual / "pixels"
    places = (Path(place) for place in (os.environ.get("TMPDIR", "/var/tmp"), "/var/tmp", tempfile.gettempdir()))
    here = (place for place in places if not _shared(place) and disk_kind(place) not in _IN_MEMORY)
    found = next((own for own in map(_own_folder, here) if own), usual)
    return found / "pixels"


def _shared(folder: Path) -> bool:
    return disk_kind(folder).startswith(_SHARED)


def _own_folder(place: Path) -> Path | None:
    """Return a folder in a place that others write to, too; None where it cannot be made, or is somebody else's."""
    folder = place / f"scalesearch-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        mine = folder.lstat().st_uid == os.getuid() and not folder.is_symlink()
        return folder if mine and os.access(folder, os.W_OK) else None
    except OSError:
        return None


def key_of(split: Split) -> str:
    """Hash the files' paths, sizes and times: a replaced image is decoded again."""
    digest = hashlib.sha256(f"{_VERSION} {PAD}".encode())
    for image in split.images:
        stat = image.file.stat()
        digest.update(repr((str(image.file.resolve()), stat.st_size, stat.st_mtime_ns)).encode())
    return digest.hexdigest()[:16]


def kept_in_file(
    split: Split, shape: tuple[int, int, int, int], cache: Path, room: int | None = None
) -> NDArray[np.uint8] | str:
    """Return the decoded images [N, h, w, 3], memory-mapped from a file in `cache`, or say why they cannot be kept there.

    If the file is missing, it is made first and published by rename: by one process, for which the others wait. `room`:
    bytes that it may take, by default nine tenths of what is free. DataError where images cannot be decoded.
    """
    file = cache / f"pixels-{key_of(split)}-{shape[1]}x{shape[2]}.npy"
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            with one_at_a_time(file.with_name(f".{file.name}.lock"), lambda: _tell(split)) as held:
                lacking = "" if file.exists() else _made(split, shape, file, room, held=held)
            if lacking:
                return lacking
        mapped: NDArray[np.uint8] = np.lib.format.open_memmap(file, mode="r")
        return mapped
    except OSError as error:  # a full disk, a quota, a cache that this user cannot write
        return f"{_need(shape)}, but cannot be kept in {cache} ({error.strerror or error})"


def _tell(split: Split) -> None:
    logger.info(f"waiting for another process that decodes the {len(split.images)} images of {split.name}")


def _made(split: Split, shape: tuple[int, int, int, int], file: Path, room: int | None, *, held: bool) -> str:
    """Make the file, or say why there is no room. Raises OSError."""
    if held:  # nobody else is at it: what a killed process left only takes room
        discard_leftovers(file.parent, file.name)
    if lacking := lacks_room(shape, room, file.parent):
        return lacking
    with publishing(file) as aside:
        array = np.lib.format.open_memmap(aside, mode="w+", dtype=np.uint8, shape=shape)
        reserve(aside)
        decode_all(split, array)
        array.flush()
    return ""


def lacks_room(shape: tuple[int, ...], room: int | None, cache: Path | None) -> str:
    """Say why decoded images of this shape cannot be kept in `cache`, or in memory without one; '' where they can.

    `room`: bytes that they may take, by default nine tenths of what is free.
    """
    room = free_bytes(cache) if room is None else room
    if math.prod(shape) <= room:
        return ""
    where = "free on the cache's disk" if cache else "free in memory"
    return f"{_need(shape)}, but {room / 2**30:.3g} GiB are {where}"


def _need(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} images decoded at {shape[1]}x{shape[2]} take {math.prod(shape) / 2**30:.3g} GiB"


def decode_all(split: Split, array: NDArray[np.uint8]) -> None:
    """Fill `array` [N, h, w, 3] by a thread on each processor: PIL releases the GIL while it decodes. DataError."""
    size, refused = (array.shape[1], array.shape[2]), list[DataError]()

    def decoded(place: NDArray[np.uint8], image: Image) -> DataError | None:
        try:
            fill(place, decode_image(image, size))
        except DataError as error:
            return error
        return None

    update = bar("decoding images")
    with ThreadPoolExecutor(usable_processors()) as pool:
        for done, error in enumerate(pool.map(decoded, array, split.images)):
            if error is not None:
                refused.append(error)
                continue
            update(done + 1, len(split.images), "images")
    if refused:
        refuse(refused, split)


def fill(place: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> None:
    """Write pixels [rows, columns, 3] into the top left corner of `place` [h, w, 3], and `PAD` elsewhere."""
    rows, columns = pixels.shape[:2]
    place[rows:] = PAD
    place[:rows, columns:] = PAD
    place[:rows, :columns] = pixels
