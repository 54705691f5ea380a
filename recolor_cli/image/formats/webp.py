"""WebP: transparency and animations, lossy or lossless."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from recolor_cli.image.codec import BYTES_PER_PIXEL_SLOW_CODECS, NewPage
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.pillow_codec import PillowCodec, PillowReader


class _WebPReader(PillowReader):
    @property
    def is_lossless(self) -> bool:
        return b"VP8L" in _chunk_names(self.data)


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


def _chunk_names(data: bytes) -> Iterator[bytes]:
    at = 12
    while at + 8 <= len(data):
        yield data[at : at + 4]
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + size % 2


CODEC = _WebP()
