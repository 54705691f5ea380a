"""WebP: transparency and animations, lossy or lossless."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from recolor_cli.image.codec import BYTES_PER_PIXEL_SLOW_CODECS, NewPage
from recolor_cli.image.failures import fill, nothing_left
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.pillow_codec import PillowCodec, PillowReader

_HEADER_SIZE = 12  # bytes


class _WebPReader(PillowReader):
    def fill_up(self, data: bytes) -> bytes:
        if len(data) >= 8 + int.from_bytes(data[4:8], "little"):
            return data
        *_, (name, _, end) = [(b"", 0, _HEADER_SIZE), *_chunks(data)]
        if name == b"VP8L":
            raise nothing_left("its end is missing")  # the codes of lossless pixels are lost
        filled = fill(data[:end], end)
        return filled[:4] + (len(filled) - 8).to_bytes(4, "little") + filled[8:]

    @property
    def is_lossless(self) -> bool:
        return any(name == b"VP8L" for name, _, _ in _chunks(self.data))


class _WebP(PillowCodec):
    format = ImageFormat.WEBP
    reader = _WebPReader
    holds_animations = True
    max_side = 16_383
    holds_dpi_in_exif = True
    bytes_per_pixel = BYTES_PER_PIXEL_SLOW_CODECS

    def quality_options(self, page: NewPage, quality: int) -> dict[str, Any]:
        # "exact" keeps the color of transparent pixels.
        return {"quality": quality, "exact": True, "lossless": page.source.lossless}


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, begin and end of the chunks, the last one perhaps beyond the end of the file."""
    at = _HEADER_SIZE
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + size + size % 2
        yield data[at : at + 4], at, end
        at = end


CODEC = _WebP()
