"""The boxes of JPEG 2000 files that hold metadata, which Pillow neither reads nor writes.

A box is a length, a name of four letters and its content; some hold boxes themselves.

References
----------
ISO/IEC 15444-1, annex I (JP2). Adobe XMP specification, part 3, for the two UUIDs.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from recolor_cli.image.exif import PREFIX
from recolor_cli.image.metadata import Metadata

_EXIF = b"JpgTiffExif->JP2"
_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_EMBEDDED_PROFILE = 2  # a way to tell the color
_INCHES_PER_METRE = 1 / 0.0254


def raw_exif(data: bytes) -> bytes:
    """Return the EXIF block, with its prefix, or nothing."""
    block = _uuid(data, _EXIF).removeprefix(PREFIX)
    return PREFIX + block if block else b""


def xmp(data: bytes) -> bytes:
    """Return the XMP, or nothing."""
    return _uuid(data, _XMP)


def icc_profile(data: bytes) -> bytes:
    """Return the embedded color profile, or nothing."""
    for name, content in _boxes(data):
        if name == b"jp2h":
            for inner, value in _boxes(content):
                if inner == b"colr" and value[:1] == bytes([_EMBEDDED_PROFILE]):
                    return value[3:]
    return b""


def with_metadata(data: bytes, metadata: Metadata) -> bytes:
    """Return a JP2 file that carries the metadata, too."""
    result = b""
    for name, content in _boxes(data):
        if name == b"jp2h":
            inner = b"".join(
                _box(part, _color(metadata.icc_profile))
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
                result += _box(b"uuid", _XMP + metadata.xmp)
        else:
            result += _box(name, content)
    return result


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and content; of a bare code stream, and behind what is broken, nothing."""
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
        yield name, data[at + head : end]
        at = end


def _box(name: bytes, content: bytes) -> bytes:
    if len(content) + 8 < 1 << 32:
        return struct.pack(">I4s", len(content) + 8, name) + content
    return struct.pack(">I4sQ", 1, name, len(content) + 16) + content


def _uuid(data: bytes, number: bytes) -> bytes:
    for name, content in _boxes(data):
        if name == b"uuid" and content.startswith(number):
            return content[16:]
    return b""


def _color(profile: bytes) -> bytes:
    return struct.pack(">BBB", _EMBEDDED_PROFILE, 0, 0) + profile


def _resolution(dpi: tuple[float, float]) -> bytes:
    """Return dots a metre, down and across, as numerators, denominators and exponents of ten."""
    across, down = (round(value * _INCHES_PER_METRE) for value in dpi)
    if max(across, down) > 65535:
        return struct.pack(">HHHHBB", down // 1000, 1, across // 1000, 1, 3, 3)
    return struct.pack(">HHHHBB", down, 1, across, 1, 0, 0)
