"""AVIF: transparency and animations; EXIF holds the resolution."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from recolor_cli.image.codec import HUNGRY, NewPage
from recolor_cli.image.exif import without_orientation
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.metadata import Metadata, dpi_of_exif, exif_with_dpi
from recolor_cli.image.pillow_codec import PillowCodec, PillowReader


class _AvifReader(PillowReader):
    def metadata(self, exif_block: bytes) -> Metadata:
        """Return the metadata, with the resolution of the EXIF block."""
        found = super().metadata(exif_block)
        return replace(found, dpi=found.dpi or dpi_of_exif(found.exif))


class _Avif(PillowCodec):
    format = ImageFormat.AVIF
    reader = _AvifReader
    holds_animations = True
    bytes_per_pixel = HUNGRY

    def quality_options(self, page: NewPage, quality: int) -> dict[str, Any]:
        """Halve the resolution of color below a quality of 90."""
        return {"quality": quality, "subsampling": "4:4:4" if quality >= 90 else "4:2:0"}

    def metadata_options(self, metadata: Metadata) -> dict[str, Any]:
        """Write the resolution into the EXIF block, and no orientation.

        Pillow would rebuild a block with an orientation, and spoil texts in UTF-8.
        """
        options = super().metadata_options(metadata) | exif_with_dpi(metadata)
        if "exif" in options:
            options["exif"] = without_orientation(options["exif"])
        return options


CODEC = _Avif()
