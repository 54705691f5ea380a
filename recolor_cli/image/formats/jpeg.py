"""JPEG: gray, RGB or CMYK, read with 2 to 16 bits a channel and written with 8; much metadata.

simplejpeg, imagecodecs and Pillow give the same pixels and bytes. Pillow takes a copy of 4 bytes a
pixel, and does not tell of damage.
"""

from __future__ import annotations

import io
import re
import struct
from dataclasses import replace
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image

from recolor_cli.image import exif
from recolor_cli.image.attachments import FURTHER, GAIN_MAP, OTHER_EYE, VIDEO
from recolor_cli.image.codec import NewPage
from recolor_cli.image.color_profiles import Space
from recolor_cli.image.failures import damage_error
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.formats.jpeg_stream import PHOTOSHOP, JpegStream
from recolor_cli.image.metadata import Metadata, clean_photoshop, clean_xmp
from recolor_cli.image.pillow_codec import PillowCodec, PillowReader, Pixels, split_alpha
from recolor_cli.image.xmp_document import XmpError
from recolor_cli.image.xmp_extension import (
    EXTENSION_HEAD,
    join_extension,
    split_extension,
)
from recolor_cli.image.xmp_reader import JPEG_XMP

_FULL_COLOR_QUALITY = 90  # from here on, color has the full resolution
_HEADER_END = 20  # 2 bytes of the start marker, 18 of the segment of JFIF
_TABLE = b"\xff\xdb"  # the marker of a quantization table
_APP1, _APP2, _APP13, _COMMENT = 0xE1, 0xE2, 0xED, 0xFE
_MOST_IN_SEGMENT, _SEGMENT_SIZE = 65_533, 65_000  # bytes; the latter leaves room for a head
_MP_ENTRIES = 0xB002  # the list of pictures in the multi-picture format
_ISO_GAIN_MAP = b"urn:iso:std:iso:ts:21496:-1"
_BRAND = re.compile(rb"ftyp(.{3})", re.DOTALL)  # of a file of boxes: a film, or a picture
_BRAND_WITHIN = 64  # bytes behind the end
_PICTURE_BRANDS = (b"jp2", b"jpx", b"jph", b"jxl", b"avi", b"hei", b"mif")
_SAMSUNG_VIDEO = b"MotionPhoto_Data"


class _JpegReader(PillowReader):
    def __init__(self, data: bytes, codec: PillowCodec) -> None:
        self._stream = JpegStream(data)
        super().__init__(self._stream.for_pillow(), codec)  # which reads the metadata only

    @property
    def is_16_bit(self) -> bool:
        return self._stream.bits > 8

    def decode_pixels(self) -> Pixels:
        levels, self.damage = self._stream.decode()
        if self.damage and not self.keeps_damaged:
            raise damage_error(self.damage, some_is_left=True)
        if levels.ndim == 3 and levels.shape[2] == 4:
            return ~levels, Space.CMYK, None  # Adobe's programs store light, not ink
        return split_alpha(levels)

    def color_profile(self) -> tuple[bytes, str]:
        if self._stream.profile_is_broken:
            return b"", "a part of its color profile is missing, it is read as sRGB"
        return super().color_profile()

    def attachments(self) -> tuple[str, ...]:
        data, names = self._stream.data, []
        entries: Any = (getattr(self.image, "mpinfo", None) or {}).get(_MP_ENTRIES, ())
        kinds = [str(entry["Attribute"]["MPType"]) for entry in entries[1:]]
        if any("Disparity" in kind for kind in kinds):
            names.append(OTHER_EYE)
        elif not all("Thumbnail" in kind for kind in kinds):
            names.append(FURTHER)
        if any(_ISO_GAIN_MAP in part for part in self._segments_of(_APP2)):
            names.append(GAIN_MAP)
        rest = data[self._stream.segments[-1].end :] if self._stream.has_end else b""
        brand = _BRAND.search(rest, 0, _BRAND_WITHIN)
        if _SAMSUNG_VIDEO in rest or (brand and brand[1] not in _PICTURE_BRANDS):
            names.append(VIDEO)
        elif brand or (not kinds and ImageFormat.of_data(rest.lstrip(b"\0"))):
            names.append(FURTHER)
        return tuple(names)

    def metadata(self, exif_block: bytes) -> Metadata:
        found = super().metadata(exif_block)
        resources = b"".join(
            part.removeprefix(PHOTOSHOP) for part in self._segments_of(_APP13, PHOTOSHOP)
        )
        extension = self._segments_of(_APP1, EXTENSION_HEAD)
        xmp = clean_xmp(join_extension(found.xmp, extension))
        comment = b"\n".join(self._segments_of(_COMMENT))  # Pillow knows the last one alone
        return replace(found, xmp=xmp, photoshop=clean_photoshop(resources), comment=comment)

    def _segments_of(self, marker: int, head: bytes = b"") -> list[bytes]:
        data = self._stream.data
        parts = (data[s.start : s.end] for s in self._stream.segments if s.marker == marker)
        return [part for part in parts if part.startswith(head)]


class _Jpeg(PillowCodec):
    format = ImageFormat.JPEG
    holds_metadata = frozenset({"exif", "xmp", "photoshop", "comment"})
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
        return data[:2] + self._metadata_segments(page.metadata) + data[_HEADER_END:]

    def quality_options(self, page: NewPage, quality: int) -> dict[str, Any]:
        return {"quality": quality, "subsampling": 0 if quality >= _FULL_COLOR_QUALITY else 2}

    def fit_metadata(self, metadata: Metadata) -> tuple[Metadata, tuple[str, ...]]:
        fitted, warnings = super().fit_metadata(metadata)
        block = exif.shorten(fitted.exif, _MOST_IN_SEGMENT)
        if len(block) < len(fitted.exif):
            warnings += ("the largest values of its EXIF are left out, as JPEG holds 64 kB of it",)
        comment = fitted.comment[:_MOST_IN_SEGMENT]
        if len(comment) < len(fitted.comment):
            warnings += ("its comment is shortened, as JPEG holds 64 kB",)
        xmp = fitted.xmp
        try:
            split_extension(xmp)
        except XmpError:
            xmp = b""
            warnings += ("its XMP is left out: it is broken, and larger than the 64 kB of a JPEG",)
        return replace(fitted, exif=block, comment=comment, xmp=xmp), warnings

    def metadata_options(self, metadata: Metadata) -> dict[str, Any]:
        options = super().metadata_options(replace(metadata, xmp=b""))
        if metadata.comment:
            options["comment"] = metadata.comment
        parts = range(0, len(metadata.photoshop), _SEGMENT_SIZE)
        segments = [
            (_APP13, PHOTOSHOP + metadata.photoshop[at : at + _SEGMENT_SIZE]) for at in parts
        ]
        if metadata.xmp:
            packet, extension = split_extension(metadata.xmp)
            segments += [(_APP1, part) for part in (JPEG_XMP + packet, *extension)]
        options["extra"] = b"".join(
            struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content
            for marker, content in segments
        )
        return options

    def _metadata_segments(self, metadata: Metadata) -> bytes:
        """Return the segments that Pillow writes for JFIF and the metadata."""
        buffer = io.BytesIO()
        Image.new("L", (1, 1)).save(buffer, "JPEG", **self.metadata_options(metadata))
        data = buffer.getvalue()
        return data[2 : data.rindex(_TABLE)]  # gray has one table, and then no metadata


CODEC = _Jpeg()
