"""Repaired bytes of image files that PIL refuses for broken metadata or a missing end.

Standard library only. PIL's own switch for such files (LOAD_TRUNCATED_IMAGES) is global to the process and its threads.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_END = b"\xff\xd9"
"""JPEG's end of image. Where it comes early, libjpeg fills the missing rows with grey."""
_BESIDE = frozenset((b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf"))


def mended(raw: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield (bytes, whether an end marker was appended) to try in place of `raw`, the mildest change first."""
    if raw.startswith(_JPEG):
        yield raw + _END, True
        # A progressive JPEG may be cut in the tables before a scan; the scans before them still make an image.
        yield raw[: max(raw.rfind(b"\xff\xc4"), raw.rfind(b"\xff\xda"), 2)] + _END, True
        bare = _bare_jpeg(raw)
        yield bare, False
        yield bare + _END, True
    elif raw.startswith(_PNG):
        chunks = list(png_chunks(raw))
        for left in (_BESIDE - {b"eXIf"}, _BESIDE):
            yield _PNG + b"".join(raw[start:end] for kind, start, end in chunks if kind not in left), False


def significant_bits(raw: bytes) -> int | None:
    """Return the significant bits of a grey PNG's samples, from its sBIT chunk; None without one."""
    for kind, start, _ in png_chunks(raw) if raw.startswith(_PNG) else ():
        if kind == b"sBIT":
            return raw[start + 8]
        if kind == b"IDAT":
            break
    return None


def png_chunks(raw: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, start, end) of each chunk; the last one may end early."""
    start = len(_PNG)
    while start + 8 <= len(raw):
        (length,) = struct.unpack(">I", raw[start : start + 4])
        end = min(len(raw), start + 12 + length)
        yield raw[start + 4 : start + 8], start, end
        start = end


def _bare_jpeg(raw: bytes) -> bytes:
    """Drop the application segments, except JFIF's and Adobe's, which say how colours are stored."""
    kept, start = [_JPEG], 2
    while start + 4 <= len(raw) and raw[start] == 0xFF and raw[start + 1] != 0xDA:
        (length,) = struct.unpack(">H", raw[start + 2 : start + 4])
        end = start + 2 + length
        if not (0xE1 <= raw[start + 1] <= 0xEF and raw[start + 1] != 0xEE):
            kept.append(raw[start:end])
        start = end
    return b"".join([*kept, raw[start:]])
