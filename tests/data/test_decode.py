"""Pictures as they come: cut off, with broken metadata, in 16 bits; what is no picture never blocks."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from scalesearch.data import decode
from scalesearch.data.decode import read_upright
from scalesearch.data.split import DataError

RNG = np.random.Generator(np.random.PCG64(0))
NOISE = PIL.Image.fromarray(RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8))


def saved(picture: PIL.Image.Image, form: str, **options: Any) -> bytes:
    content = io.BytesIO()
    picture.save(content, form, **options)
    return content.getvalue()


def put(folder: Path, content: bytes) -> Path:
    file = folder / "picture"
    file.write_bytes(content)
    return file


def pixels(file: Path) -> np.ndarray[Any, Any]:
    return np.asarray(read_upright(file).picture).astype(int)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("missing", [2, 20, 0.1, 0.3])
def test_a_jpeg_without_its_last_rows_is_taken_and_said(
    tmp_path: Path, mode: str, progressive: bool, missing: float
) -> None:
    whole = saved(NOISE.convert(mode), "JPEG", progressive=progressive)
    lost = int(missing if missing >= 1 else missing * len(whole))
    expected = pixels(put(tmp_path, whole))
    found = read_upright(put(tmp_path, whole[:-lost]))
    assert found.remarks == ("cut off: the missing last rows are grey",)
    if not progressive:
        assert (np.asarray(found.picture)[:14] == expected[:14]).all()


def test_a_jpeg_of_which_most_is_missing_is_refused(tmp_path: Path) -> None:
    whole = saved(NOISE, "JPEG")
    with pytest.raises(DataError, match=r"picture is cut off after 3.% of its rows"):
        read_upright(put(tmp_path, whole[: len(whole) // 3]))
    with pytest.raises(DataError, match="must be readable"):
        read_upright(put(tmp_path, whole[:100]))


def exif_block(rng: np.random.Generator) -> bytes:
    """A block that an EXIF reader must not trust: a true one with bytes changed, cut, or noise."""
    exif = PIL.Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "maker", 72.0
    exif.get_ifd(0x8769)[0x829A] = 0.01
    block = bytearray(exif.tobytes())
    for at in rng.integers(0, len(block), int(rng.integers(1, 12))):
        block[at] = rng.integers(0, 256)
    return bytes(block[: rng.integers(8, len(block))] if rng.random() < 0.3 else block)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_no_exif_block_costs_a_picture(tmp_path: Path, form: str) -> None:
    rng = np.random.Generator(np.random.PCG64(7))
    for _ in range(120 if form == "JPEG" else 40):
        block = exif_block(rng)
        if form == "TIFF":
            content = bytearray(saved(NOISE, "TIFF"))  # a TIFF's own tags have EXIF's form: this one is not needed
            content += block
        else:
            content = bytearray(saved(NOISE, form, exif=block))
        found = read_upright(put(tmp_path, bytes(content)))
        assert sorted(found.picture.size) == [48, 64] and found.remarks == ()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_stands_upright(tmp_path: Path, orientation: int) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    content = saved(NOISE, "PNG", exif=exif)
    with PIL.Image.open(io.BytesIO(content)) as opened:
        expected = PIL.ImageOps.exif_transpose(opened)
    assert (pixels(put(tmp_path, content)) == np.asarray(expected)).all()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.mark.parametrize("kind", [b"zTXt", b"tEXt", b"iTXt", b"iCCP"])
def test_text_that_grows_costs_no_picture(tmp_path: Path, kind: bytes) -> None:
    text = b"k\0" + (b"x" * 2**21 if kind == b"tEXt" else b"\0" + zlib.compress(b"x" * 2**23))
    if kind == b"iTXt":
        text = b"k\0\1\0\0\0" + zlib.compress(b"x" * 2**23)
    plain = saved(NOISE, "PNG")
    content = plain[:33] + chunk(kind, text) + plain[33:]
    assert (pixels(put(tmp_path, content)) == np.asarray(NOISE)).all()


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    for name in ("fifo.png", "zero.png"):
        with pytest.raises(DataError, match=f"must be a file, but .*{name} is none"):
            read_upright(tmp_path / name)


def test_a_picture_that_grows_without_end_is_refused_by_its_size(tmp_path: Path) -> None:
    for side in (13_000, 40_000):  # from where PIL warns, and from where it raises
        header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
        content = (
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
        )
        with pytest.raises(DataError, match="at most 89 million pixels, but .*picture has more"):
            read_upright(put(tmp_path, content))


RAMP = np.linspace(0, 4095, 64 * 48).round().astype(np.uint16).reshape(48, 64)


def deep(form: str) -> bytes:
    """Grey of 12 bits whose file says so."""
    picture = PIL.Image.fromarray(RAMP)
    if form.startswith("TIFF"):
        return saved(picture, "TIFF", tiffinfo={{"TIFF": 281, "TIFF, by S": 341}[form]: 4095})
    if form == "PGM":
        return b"P5 64 48 4095\n" + RAMP.astype(">u2").tobytes()
    values = RAMP if form == "PNG" else (RAMP * 16 + RAMP // 256).astype(np.uint16)
    plain = saved(PIL.Image.fromarray(values), "PNG")
    return plain[:33] + chunk(b"sBIT", b"\x0c") + plain[33:]


@pytest.mark.parametrize("form", ["TIFF", "TIFF, by S", "PGM", "PNG", "PNG, shifted"])
def test_grey_of_16_bits_is_scaled_where_its_file_says_the_range(tmp_path: Path, form: str) -> None:
    file = put(tmp_path, deep(form))
    found = read_upright(file)
    expected = (RAMP * (255 / 4095)).round()
    assert np.abs(np.asarray(found.picture)[..., 0] - expected).max() <= 1
    (remark,) = found.remarks
    assert remark.startswith("of more than 8 bits, scaled from 0..") and remark.endswith("to 0..255 as their files say")


@pytest.mark.parametrize("bad", [0, -5, "nan"])
def test_a_range_that_makes_no_sense_is_none(tmp_path: Path, bad: object) -> None:
    tags = {341: float(bad)} if bad == "nan" else {281: max(0, int(str(bad)))}
    file = put(tmp_path, saved(PIL.Image.fromarray(RAMP), "TIFF", tiffinfo=tags))
    with pytest.raises(DataError, match="8 bits a channel, or say their range"):
        read_upright(file)


def test_the_bound_is_pils_own() -> None:
    assert decode.MOST == PIL.Image.MAX_IMAGE_PIXELS == 89_478_485
