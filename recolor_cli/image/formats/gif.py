"""GIF: 256 colors a frame, animations, a comment, XMP.

References
----------
GIF89a specification (CompuServe 1990), appendix A. Adobe XMP specification, part 3 (GIF).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from recolor_cli.image.codec import NewPage
from recolor_cli.image.decoded_image import Animation
from recolor_cli.image.failures import fill
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.metadata import Metadata, clean_xmp
from recolor_cli.image.pillow_codec import PillowCodec, PillowReader
from recolor_cli.image.xmp_reader import GIF_XMP_END

_EXTENSION, _FRAME, _TRAILER = 0x21, 0x2C, 0x3B
_HEADER_SIZE = 13  # bytes
_MOST_BITS = 12  # of a code
_XMP_BLOCK = b"\x21\xff\x0bXMP DataXMP"
_RESTORE_BACKGROUND = 2  # frames may be transparent where the one before is not


class _GifReader(PillowReader):
    def fill_up(self, data: bytes) -> bytes:
        # Pixels of the first color take the place of those that are missing. A frame of which
        # nothing is there is left out.
        begin = frames = 0
        try:
            for begin in _blocks(data):
                frames += data[begin] == _FRAME
        except IndexError:
            is_frame = data[begin] == _FRAME
            if is_frame and begin + 9 < len(data) and _start_of_codes(data, begin) < len(data):
                return _with_codes(data, begin)
            if frames > is_frame:
                return data[:begin] + bytes([_TRAILER])
        return data

    def metadata(self, exif_block: bytes) -> Metadata:
        # Pillow steps over it.
        return replace(super().metadata(exif_block), xmp=clean_xmp(xmp(self.data)))

    def canvas_pixels(self) -> int:
        # Pillow knows the size of the first frame only.
        return max(super().canvas_pixels(), canvas_pixels(self.data))


class _Gif(PillowCodec):
    format = ImageFormat.GIF
    holds_metadata = frozenset({"xmp", "comment"})
    reader = _GifReader
    holds_animations = True
    max_side = 65_535

    def encode(self, frames: list[NewPage], quality: int) -> bytes:
        data = super().encode(frames, quality)
        packet = frames[0].metadata.xmp
        if not packet:
            return data
        at = _HEADER_SIZE + _table_size(data[10])
        # GIF87a, which Pillow writes where it suffices, has no extensions.
        return b"GIF89a" + data[6:at] + _XMP_BLOCK + packet + GIF_XMP_END + data[at:]

    def metadata_options(self, metadata: Metadata) -> dict[str, Any]:
        options = super().metadata_options(metadata)
        return options | ({"comment": metadata.comment} if metadata.comment else {})

    def animation_options(self, frames: list[NewPage], animation: Animation) -> dict[str, Any]:
        return super().animation_options(frames, animation) | {"disposal": _RESTORE_BACKGROUND}


def xmp(data: bytes) -> bytes:
    """Return the XMP of a file, or nothing."""
    _, start, rest = data.partition(_XMP_BLOCK)
    packet, end, _ = rest.partition(GIF_XMP_END)
    return packet if start and end else b""


def canvas_pixels(data: bytes) -> int:
    """Return how many pixels the canvas has when all frames were shown: each may enlarge it.

    Of a GIF that is cut off, the frames that are left count.
    """
    width = height = 0
    with suppress(IndexError, struct.error):
        width, height = struct.unpack_from("<HH", data, 6)
        for at in _blocks(data):
            if data[at] == _FRAME:
                left, top, across, down = struct.unpack_from("<HHHH", data, at + 1)
                width, height = max(width, left + across), max(height, top + down)
    return int(width * height)


def _blocks(data: bytes) -> Iterator[int]:
    """Yield where the frames, extensions and unknown bytes of a file begin, up to its end.

    Raises
    ------
    IndexError
        If the last one is cut off.
    """
    at = _HEADER_SIZE + _table_size(data[10])
    while at < len(data) and data[at] != _TRAILER:
        yield at
        if data[at] == _FRAME:
            at = _end_of_blocks(data, _start_of_codes(data, at))
        elif data[at] == _EXTENSION:
            at = _end_of_blocks(data, at + 2)
        else:
            at += 1  # decoders step over unknown bytes


def _with_codes(data: bytes, frame: int) -> bytes:
    """Return a file that is cut off within a frame with codes of 0 for all pixels of the frame."""
    across, down = struct.unpack_from("<HH", data, frame + 5)
    at = _start_of_codes(data, frame)
    while at + 1 + data[at] < len(data):
        at += 1 + data[at]
    data += bytes(at + 1 + data[at] - len(data))
    count = -(-across * down * _MOST_BITS // 8 // 255) + 1
    return fill(data, len(data) + 256 * count, b"\xff" + bytes(255)) + bytes([0, _TRAILER])


def _start_of_codes(data: bytes, frame: int) -> int:
    return frame + 11 + _table_size(data[frame + 9])


def _table_size(flags: int) -> int:
    """Return the bytes of a color table, by the flags that announce it."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _end_of_blocks(data: bytes, at: int) -> int:
    """Return the offset behind blocks that begin with their length; the last one is empty."""
    while data[at]:
        at += 1 + data[at]
    return at + 1


CODEC = _Gif()
