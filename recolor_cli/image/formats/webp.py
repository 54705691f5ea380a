"""WebP: transparency and animations, lossy or lossless; EXIF holds the resolution."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from recolor_cli.image.codec import HUNGRY, NewPage
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.metadata import Metadata, dpi_of_exif, exif_with_dpi
from recolor_cli.image.pillow_codec import PillowCodec, PillowReader


class _WebPReader(PillowReader):
    @property
    def is_lossless(self) -> bool:
        """Whether a still picture is compressed without losses."""
        return b"VP8L" in _chunk_names(self.data)

    def metadata(self, exif_block: bytes) -> Metadata:
        """Return the metadata, with the resolution of the EXIF block."""
        found = super().metadata(exif_block)
        return replace(found, dpi=found.dpi or dpi_of_exif(found.exif))


class _WebP(PillowCodec):
    format = ImageFormat.WEBP
    reader = _WebPReader
    holds_animations = True
    bytes_per_pixel = HUNGRY

    def quality_options(self, page: NewPage, quality: int) -> dict[str, Any]:
        """Keep the color of transparent pixels, and a lossless picture lossless."""
        return {"quality": quality, "exact": True, "lossless": page.lossless}

    def metadata_options(self, metadata: Metadata) -> dict[str, Any]:
        """Write the resolution into the EXIF block."""
        return super().metadata_options(metadata) | exif_with_dpi(metadata)


def _chunk_names(data: bytes) -> Iterator[bytes]:
    at = 12
    while at + 8 <= len(data):
        yield data[at : at + 4]
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + size % 2


CODEC = _WebP()
