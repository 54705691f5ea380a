"""JPEG 2000: gray or RGB of up to 16 bits a channel, transparency.

Pillow neither reads nor writes the boxes that hold metadata. A box is a length, a name of four
letters and its content; some hold boxes themselves.

References
----------
ISO/IEC 15444-1, annexes A (code stream) and I (JP2). Adobe XMP specification, part 3 (UUIDs).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import replace

import imagecodecs
import numpy as np

from recolor_cli.image.codec import BYTES_PER_PIXEL_SLOW_CODECS, NewPage
from recolor_cli.image.exif import PREFIX
from recolor_cli.image.failures import damage_error, fill
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.levels import stretch
from recolor_cli.image.metadata import Metadata, clean_xmp, orientation_of
from recolor_cli.image.pillow_codec import PillowCodec, PillowReader, Pixels, split_alpha
from recolor_cli.image.xmp_reader import JP2_XMP

_EXIF = b"JpgTiffExif->JP2"
_EMBEDDED_PROFILE = 2  # a method of telling the color
_PIXELS = b"jp2c"  # the name of a box
_CODE_STREAM, _END = b"\xff\x4f\xff\x51", b"\xff\xd9"
_TILE, _TILE_DATA = b"\xff\x90", b"\xff\x93"
_MOST_TILES = 65_535
_PACKETS = 1024  # empty ones, of a byte each, in place of a tile
_SIGNED = 0x80
_INCHES_PER_METRE = 1 / 0.0254
_DEPTH = re.compile(rb"\xff\x4f\xff\x51.{38}(.)", re.DOTALL)  # SOC, and SIZ up to Ssiz


class _Jpeg2000Reader(PillowReader):
    def __init__(self, data: bytes, codec: PillowCodec) -> None:
        self._file = data  # metadata may stand behind the pixels
        super().__init__(data[: _end_of_pixels(data)], codec)

    def fill_up(self, data: bytes) -> bytes:
        # Empty packets take the place of those that are missing. A packet of zeros says that it
        # brings nothing, so the picture loses sharpness, or tiles.
        at = data.find(_CODE_STREAM) + 2
        if at < 2:
            return data
        right, bottom, _, _, width, height, left, top = struct.unpack_from(">8I", data, at + 6)
        tiles = -(-(right - left) // width) * -(-(bottom - top) // height)
        while data[at : at + 2] != _TILE:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
        found, length = set(), 0
        while data[at : at + 2] == _TILE:
            tile, length = struct.unpack_from(">HI", data, at + 4)
            found.add(tile)
            if length == 0 or at + length > len(data):
                break
            at, length = at + length, 0
        if data[at : at + 2] == _END or (length == 0 and len(found) == tiles):
            return data
        missing = {*range(tiles)} - found if tiles < _MOST_TILES else set()
        filled = fill(data, at + length)
        for tile in sorted(missing):
            head = struct.pack(">2sHHIBB2s", _TILE, 10, tile, 14 + _PACKETS, 0, 1, _TILE_DATA)
            filled = fill(filled + head, len(filled + head) + _PACKETS)
        return filled + _END

    @property
    def is_16_bit(self) -> bool:
        return self._bits > 8

    def decode_pixels(self) -> Pixels | None:
        if not self.is_16_bit:
            return None
        if self._depth & _SIGNED:
            raise damage_error("its numbers have a sign")
        levels = np.asarray(imagecodecs.jpeg2k_decode(self.data))
        return split_alpha(stretch(levels, (1 << self._bits) - 1, np.uint16))

    def color_profile(self) -> tuple[bytes, str]:
        return icc_profile(self._file), ""

    def exif_block(self) -> bytes:
        return raw_exif(self._file)

    def orientation(self) -> int:
        return orientation_of(self.exif_block(), xmp(self._file))

    def header_orientation(self) -> int:
        return self.orientation()

    def metadata(self, exif_block: bytes) -> Metadata:
        found = super().metadata(exif_block)
        return replace(found, xmp=clean_xmp(xmp(self._file)), comment=b"")  # the encoder's name

    @property
    def _bits(self) -> int:
        return (self._depth & 0x7F) + 1

    @property
    def _depth(self) -> int:
        """Bits of a channel less 1, and `_SIGNED`, as the header holds them."""
        found = _DEPTH.search(self.data)
        return found[1][0] if found else 7


class _Jpeg2000(PillowCodec):
    format = ImageFormat.JPEG2000
    reader = _Jpeg2000Reader
    holds_16_bits = True
    bytes_per_pixel = BYTES_PER_PIXEL_SLOW_CODECS

    def encode(self, frames: list[NewPage], quality: int) -> bytes:
        return with_metadata(super().encode(frames, quality), frames[0].metadata)

    def encode_levels(self, page: NewPage, quality: int) -> bytes | None:
        if page.pixels.dtype != np.uint16:
            return None
        pixels = np.ascontiguousarray(page.pixels)
        return bytes(imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="jp2", reversible=True))


def raw_exif(data: bytes) -> bytes:
    """Return the EXIF block of a file, with its prefix, or nothing."""
    block = _uuid(data, _EXIF).removeprefix(PREFIX)
    return PREFIX + block if block else b""


def xmp(data: bytes) -> bytes:
    """Return the XMP of a file, or nothing."""
    return _uuid(data, JP2_XMP)


def icc_profile(data: bytes) -> bytes:
    """Return the color profile that a file embeds, or nothing."""
    for name, content in _boxes(data):
        if name == b"jp2h":
            for inner, value in _boxes(content):
                if inner == b"colr" and value[:1] == bytes([_EMBEDDED_PROFILE]):
                    return value[3:]
    return b""


def with_metadata(data: bytes, metadata: Metadata) -> bytes:
    """Return a JP2 file with boxes for its metadata."""
    result = b""
    for name, content in _boxes(data):
        if name == b"jp2h":
            inner = b"".join(
                _box(part, bytes([_EMBEDDED_PROFILE, 0, 0]) + metadata.icc_profile)
                if part == b"colr" and metadata.icc_profile
                else _box(part, value)
                for part, value in _boxes(content)
            )
            if metadata.dpi:
                inner += _box(b"res ", _box(b"resc", _resolution(metadata.dpi)))
            result += _box(name, inner)
            if metadata.exif:
                result += _box(b"uuid", _EXIF + metadata.exif.removeprefix(PREFIX))
            if metadata.xmp:
                result += _box(b"uuid", JP2_XMP + metadata.xmp)
        else:
            result += _box(name, content)
    return result


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and content of the boxes, up to the first broken one. A code stream has none."""
    for name, start, end in _box_places(data):
        yield name, data[start:end]


def _box_places(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield names of the boxes, and where their contents begin and end."""
    at = 0
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1 and at + 16 <= len(data):
            (length,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        end = at + length if length else len(data)  # 0: up to the end
        if end > len(data) or end < at + head:
            return
        yield name, at + head, end
        at = end


def _end_of_pixels(data: bytes) -> int:
    """Return where the box of the pixels ends. OpenJPEG fails at odd bytes behind it."""
    return next((end for name, _, end in _box_places(data) if name == _PIXELS), len(data))


def _box(name: bytes, content: bytes) -> bytes:
    if len(content) + 8 < 1 << 32:
        return struct.pack(">I4s", len(content) + 8, name) + content
    return struct.pack(">I4sQ", 1, name, len(content) + 16) + content


def _uuid(data: bytes, number: bytes) -> bytes:
    for name, content in _boxes(data):
        if name == b"uuid" and content.startswith(number):
            return content[16:]
    return b""


def _resolution(dpi: tuple[float, float]) -> bytes:
    """Encode dots a metre, down and across: numerators, denominators and exponents of ten."""
    across, down = (round(value * _INCHES_PER_METRE) for value in dpi)
    if max(across, down) > 65535:
        return struct.pack(">HHHHBB", down // 1000, 1, across // 1000, 1, 3, 3)
    return struct.pack(">HHHHBB", down, 1, across, 1, 0, 0)


CODEC = _Jpeg2000()
