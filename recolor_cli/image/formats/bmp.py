"""BMP: 8 bits a channel, transparency, resolution."""

from __future__ import annotations

import struct

from recolor_cli.image.failures import fill
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.pillow_codec import PillowCodec, PillowReader

_OLD_HEADER = 12  # bytes of OS/2
_RUNS = (1, 2)  # kinds of compression


class _BmpReader(PillowReader):
    def fill_up(self, data: bytes) -> bytes:
        return fill(data, _length(data))


class _Bmp(PillowCodec):
    format = ImageFormat.BMP
    reader = _BmpReader
    holds_metadata = frozenset[str]()


def _length(data: bytes) -> int:
    """Return where the pixels end, by the header."""
    start, header_size = struct.unpack_from("<II", data, 10)
    if header_size == _OLD_HEADER:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = size = 0
    else:
        width, height, _, bits, compression, size = struct.unpack_from("<iiHHII", data, 18)
    if compression in _RUNS:  # zeros are empty rows
        return int(start + size + 2 * abs(height) if len(data) < start + size else 0)
    return int(start + (width * bits + 31) // 32 * 4 * abs(height))


CODEC = _Bmp()
