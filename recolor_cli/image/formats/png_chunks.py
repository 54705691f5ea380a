"""The chunks of a PNG: which broken ones can be left out, and what of the pixels is there.

A chunk is a length, a name of four letters, content and a checksum. The first letter is a small one
if programs that do not know the chunk may step over it.

References
----------
Portable Network Graphics, third edition (W3C 2025), sections 5.3, 8.1 and 11.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from recolor_cli.image.failures import MAX_TEXT

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the kind of color
_ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
_ANIMATION = (b"acTL", b"fcTL", b"fdAT")
_NEEDED = (b"tRNS", *_ANIMATION)  # small letters, and yet a picture is another one without them
_COMPRESSED = (b"zTXt", b"iTXt", b"iCCP")
_LENGTHS = {
    b"acTL": 8, b"cHRM": 32, b"cICP": 4, b"cLLI": 8, b"gAMA": 4, b"mDCV": 24, b"pHYs": 9,
    b"sRGB": 1, b"tIME": 7,
}  # fmt: skip
_LENGTHS_BY_COLOR = {
    b"tRNS": {0: 2, 2: 6},
    b"bKGD": {0: 2, 2: 6, 3: 1, 4: 2, 6: 6},
    b"sBIT": {0: 1, 2: 3, 3: 3, 4: 2, 6: 4},
}
_LEAST_LENGTHS = {b"eXIf": 4, b"iTXt": 6, b"sPLT": 3, b"tEXt": 2}
_BEST_RATIO = 1030  # of deflate
_STEP = 512  # bytes that are decompressed at a time, so that what precedes a fault is not lost
_MISSING = "a part of its data is missing or wrong"


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk: its name, and where it begins and ends in the file; a whole one ends with a sum."""

    name: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class CheckedChunks:
    """The chunks of a file.

    Parameters
    ----------
    data : bytes
        The file without the chunks that are left out, and with an end.
    left_out : tuple of str
        Names of chunks that are broken, or too large, and that the picture does not need.
    damage : str
        What of the picture is missing or wrong; else empty.
    """

    data: bytes
    left_out: tuple[str, ...]
    damage: str


def walk_chunks(data: bytes) -> Iterator[Chunk]:
    """Yield the chunks up to the end, the last one perhaps beyond the end of the file."""
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunk = Chunk(data[at + 4 : at + 8], at, at + 12 + length)
        if not chunk.name.isalpha():
            return
        yield chunk
        if chunk.name == b"IEND":
            return
        at = chunk.end


def check_chunks(data: bytes) -> CheckedChunks:
    """Compare all checksums, and leave out broken chunks that the picture does not need."""
    kept: list[Chunk] = []
    left_out: dict[str, None] = {}
    damage, has_end = "", False
    for chunk in walk_chunks(data):
        is_there = chunk.end <= len(data)
        if chunk.name == b"IEND":
            has_end = is_there
            break
        is_needed = chunk.name[:1].isupper() or chunk.name in _NEEDED
        if not (is_there and _has_right_sum(data, chunk)):
            if is_needed:
                damage = damage or (_MISSING if is_there else "its end is missing")
            else:
                left_out[chunk.name.decode()] = None
                continue
        elif not (_has_right_length(data, chunk) and _is_readable(data, chunk)):
            left_out[chunk.name.decode()] = None
            continue
        kept.append(chunk)
    if not (has_end or damage) and _pixel_bytes(data) > len(_decompress(data)):
        damage = "its end is missing"
    if damage or left_out or not has_end:
        parts = (data[chunk.start : chunk.end] for chunk in kept)
        if damage:  # the sums are right from now on
            parts = (make_chunk(chunk.name, _content(data, chunk)) for chunk in kept)
        data = SIGNATURE + b"".join(parts) + make_chunk(b"IEND", b"")
    return CheckedChunks(data, tuple(left_out), damage)


def with_pixels_that_are_there(data: bytes) -> bytes:
    """Return a still picture whose missing pixels are 0."""
    pixels = _decompress(data).ljust(_pixel_bytes(data), b"\0")
    parts: list[bytes] = []
    for chunk in walk_chunks(data):
        if chunk.name != b"IDAT" and chunk.name not in _ANIMATION:
            parts.append(data[chunk.start : chunk.end])
        elif chunk.name == b"IDAT" and pixels:
            parts.append(make_chunk(b"IDAT", zlib.compress(pixels, 1)))
            pixels = b""
    return SIGNATURE + b"".join(parts)


def _content(data: bytes, chunk: Chunk) -> bytes:
    return data[chunk.start + 8 : min(chunk.end - 4, len(data))]


def _has_right_sum(data: bytes, chunk: Chunk) -> bool:
    covered = memoryview(data)[chunk.start + 4 : chunk.end - 4]
    return zlib.crc32(covered) == int.from_bytes(data[chunk.end - 4 : chunk.end])


def _has_right_length(data: bytes, chunk: Chunk) -> bool:
    """Tell whether a chunk that has a known length has it; readers raise, or print, otherwise."""
    length, color = chunk.end - chunk.start - 12, data[25]
    wanted = _LENGTHS.get(chunk.name, _LENGTHS_BY_COLOR.get(chunk.name, {}).get(color, length))
    return length == wanted and length >= _LEAST_LENGTHS.get(chunk.name, 0)


def make_chunk(name: bytes, content: bytes) -> bytes:
    """Return a chunk with its length and its checksum."""
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def _is_readable(data: bytes, chunk: Chunk) -> bool:
    """Tell whether a compressed text or profile can be decompressed within reason."""
    if chunk.name not in _COMPRESSED:
        return True
    packed = _content(data, chunk).partition(b"\0")[2]
    if chunk.name == b"iTXt":
        is_compressed, method = packed[:1] == b"\1", packed[1:2]
        if not is_compressed:
            return True
        packed = packed[2:].partition(b"\0")[2].partition(b"\0")[2]
    else:
        method, packed = packed[:1], packed[1:]
    if method != b"\0":
        return False
    if len(packed) * _BEST_RATIO < MAX_TEXT:
        return True
    decoder = zlib.decompressobj()
    try:
        decoder.decompress(packed, MAX_TEXT)
    except zlib.error:
        return False
    return not decoder.unconsumed_tail


def _decompress(data: bytes) -> bytes:
    """Return the filtered lines of pixels, as far as they are there."""
    decoder, found = zlib.decompressobj(), bytearray()
    most = _pixel_bytes(data)
    for chunk in walk_chunks(data):
        if chunk.name != b"IDAT":
            continue
        for at in range(chunk.start + 8, min(chunk.end - 4, len(data)), _STEP):
            try:
                found += decoder.decompress(data[at : min(at + _STEP, chunk.end - 4)])
            except zlib.error:
                return bytes(found[:most])
            if len(found) >= most:
                return bytes(found[:most])
    return bytes(found)


def _pixel_bytes(data: bytes) -> int:
    """Return the size of all lines of pixels, each with the byte that names its filter."""
    width, height, bits, color, _, _, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    passes = _ADAM7 if interlace else ((0, 0, 1, 1),)
    total = 0
    for left, top, across, down in passes:
        columns, lines = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and lines > 0:
            total += lines * (1 + -(-columns * bits * _CHANNELS.get(color, 4) // 8))
    return int(total)
