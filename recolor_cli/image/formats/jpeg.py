"""JPEG: gray, RGB or CMYK, read with 2 to 16 bits a channel and written with 8; much metadata.

simplejpeg, imagecodecs and Pillow give the same pixels and bytes. Pillow takes a copy of 4 bytes a
pixel, and does not tell of damage.
"""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image

from recolor_cli.image.codec import NewPage
from recolor_cli.image.color_profiles import Space
from recolor_cli.image.failures import damaged
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.formats.jpeg_stream import JpegStream, walk_segments
from recolor_cli.image.metadata import Metadata, clean_photoshop
from recolor_cli.image.pillow_codec import PillowCodec, PillowReader, Pixels, split_alpha

_FULL_COLOR_QUALITY = 90  # from here on, color has the full resolution
_QUANTIZATION_TABLES = 0xDB
_PHOTOSHOP = b"Photoshop 3.0\0"
_SEGMENT_SIZE = 65_000  # bytes; a segment holds 65,533, some of which are its head


class _JpegReader(PillowReader):
    def __init__(self, data: bytes, codec: PillowCodec) -> None:
        self._stream = JpegStream(data)
        # Pillow reads the metadata only, and knows no other depth.
        super().__init__(data if self._stream.bits == 8 else self._stream.with_8_bits(), codec)

    @property
    def is_16_bit(self) -> bool:
        return self._stream.bits > 8

    def decode_pixels(self) -> Pixels:
        levels, self.damage = self._stream.decode()
        if self.damage and not self.keeps_damaged:
            raise damaged(self.damage, some_is_left=True)
        if levels.ndim == 3 and levels.shape[2] == 4:
            return ~levels, Space.CMYK, None  # Adobe's programs store light, not ink
        return split_alpha(levels)

    def metadata(self, exif_block: bytes) -> Metadata:
        segments = [data for name, data in getattr(self.image, "applist", ()) if name == "APP13"]
        resources = b"".join(
            data.removeprefix(_PHOTOSHOP) for data in segments if data.startswith(_PHOTOSHOP)
        )
        return replace(super().metadata(exif_block), photoshop=clean_photoshop(resources))


class _Jpeg(PillowCodec):
    format = ImageFormat.JPEG
    reader = _JpegReader
    holds_transparency = False
    max_side = 65_500
    holds_cmyk = True

    def encode_levels(self, page: NewPage, quality: int) -> bytes:
        data = bytes(
            imagecodecs.jpeg8_encode(
                np.ascontiguousarray(page.pixels),
                level=quality,
                subsampling="444" if quality >= _FULL_COLOR_QUALITY else "420",
            )
        )
        head = self._metadata_segments(page.metadata)
        return data[:2] + head + data[_start_of_tables(data) :]

    def quality_options(self, page: NewPage, quality: int) -> dict[str, Any]:
        return {"quality": quality, "subsampling": 0 if quality >= _FULL_COLOR_QUALITY else 2}

    def metadata_options(self, metadata: Metadata) -> dict[str, Any]:
        options = super().metadata_options(metadata)
        if metadata.comment:
            options["comment"] = metadata.comment
        if metadata.photoshop:
            options["extra"] = _photoshop_segments(metadata.photoshop)
        return options

    def _metadata_segments(self, metadata: Metadata) -> bytes:
        """Return the head that Pillow writes: the segments of the metadata and its own."""
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8)).save(buffer, "JPEG", **self.metadata_options(metadata))
        data = buffer.getvalue()
        return data[2 : _start_of_tables(data)]


def _start_of_tables(data: bytes) -> int:
    return next(part.head for part in walk_segments(data) if part.marker == _QUANTIZATION_TABLES)


def _photoshop_segments(resources: bytes) -> bytes:
    parts = (resources[at : at + _SEGMENT_SIZE] for at in range(0, len(resources), _SEGMENT_SIZE))
    return b"".join(
        b"\xff\xed" + struct.pack(">H", 2 + len(_PHOTOSHOP) + len(part)) + _PHOTOSHOP + part
        for part in parts
    )


CODEC = _Jpeg()
