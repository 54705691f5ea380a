"""JPEG: gray, RGB or CMYK of 8 bits a channel; EXIF, XMP, IPTC, comments.

imagecodecs and Pillow give the same pixels and bytes, but Pillow takes a copy of 4 bytes a pixel.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image

from recolor_cli.image.codec import NewPage
from recolor_cli.image.failures import damaged
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.metadata import Metadata, clean_photoshop
from recolor_cli.image.pillow_codec import PillowCodec, PillowReader
from recolor_cli.types import AnyPlanes

_FULL_COLOR_QUALITY = 90  # from here on, color has the full resolution
_START_OF_SCAN, _QUANTIZATION_TABLES, _END = b"\xff\xda", b"\xff\xdb", b"\xff\xd9"
_PHOTOSHOP = b"Photoshop 3.0\0"
_SEGMENT_SIZE = 65_000  # bytes; a segment holds 65,533, some of which are its head


class _JpegReader(PillowReader):
    def decode_levels(self) -> AnyPlanes | None:
        if self.image.mode not in ("L", "RGB"):
            return None  # CMYK
        segments = _walk_segments(self.data)
        scan = next((at for marker, at in segments if marker == _START_OF_SCAN), len(self.data))
        # In a scan the end marker does not occur. Without it the decoder would fill in gray.
        if self.data.find(_END, scan) < 0:
            raise damaged("its end is missing")
        return np.asarray(imagecodecs.jpeg8_decode(self.data))

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
        return data[:2] + head + data[data.index(_QUANTIZATION_TABLES) :]

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
        end = next(at for marker, at in _walk_segments(data) if marker == _QUANTIZATION_TABLES)
        return data[2:end]


def _walk_segments(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield the marker and the offset of each segment, up to the first scan."""
    at = 2
    while at + 4 <= len(data):
        marker = data[at : at + 2]
        yield marker, at
        if marker == _START_OF_SCAN:
            return
        is_fill_byte = marker[1] == 0xFF
        at += 1 if is_fill_byte else 2 + int.from_bytes(data[at + 2 : at + 4])


def _photoshop_segments(resources: bytes) -> bytes:
    parts = (resources[at : at + _SEGMENT_SIZE] for at in range(0, len(resources), _SEGMENT_SIZE))
    return b"".join(
        b"\xff\xed" + struct.pack(">H", 2 + len(_PHOTOSHOP) + len(part)) + _PHOTOSHOP + part
        for part in parts
    )


CODEC = _Jpeg()
