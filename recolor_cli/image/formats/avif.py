"""AVIF: transparency and animations."""

from __future__ import annotations

from typing import Any

from recolor_cli.image.codec import BYTES_PER_PIXEL_SLOW_CODECS, NewPage
from recolor_cli.image.exif import without_orientation
from recolor_cli.image.failures import fill
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.metadata import Metadata
from recolor_cli.image.pillow_codec import PillowCodec, PillowReader

_FIRST_BOX = b"ftyp"
_NEEDED_BOXES = (_FIRST_BOX, b"meta", b"moov", b"mdat")


class _AvifReader(PillowReader):
    def fill_up(self, data: bytes) -> bytes:
        return fill(data, _end_of_boxes(data))


class _Avif(PillowCodec):
    format = ImageFormat.AVIF
    reader = _AvifReader
    holds_animations = True
    max_side = 65_536
    holds_dpi_in_exif = True
    bytes_per_pixel = BYTES_PER_PIXEL_SLOW_CODECS

    def quality_options(self, page: NewPage, quality: int) -> dict[str, Any]:
        return {"quality": quality, "subsampling": "4:4:4" if quality >= 90 else "4:2:0"}

    def metadata_options(self, metadata: Metadata) -> dict[str, Any]:
        options = super().metadata_options(metadata)
        if "exif" in options:
            # Pillow rebuilds a block with an orientation, and would spoil texts in UTF-8.
            options["exif"] = without_orientation(options["exif"])
        return options


def _end_of_boxes(data: bytes) -> int:
    """Return where the last box that the picture needs ends, perhaps beyond the file.

    Other bytes may follow, also another file.
    """
    at = end = 0
    while at + 16 <= len(data):
        length, name = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        if length == 1:  # the length stands behind the name
            length = int.from_bytes(data[at + 8 : at + 16])
        if length < 8 or (name == _FIRST_BOX and at):  # 0: up to the end
            break
        at += length
        if name in _NEEDED_BOXES:
            end = at
    return end


CODEC = _Avif()
