"""TIFF: pages, 8 and 16 bits a channel, CMYK, transparency; directories with all their entries.

tifffile finds the pages. Pillow reads no TIFF here, because it has no 16-bit color, knows fewer
combinations of channels, and prints what libtiff tells it.
"""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import BinaryIO

import numpy as np
import tifffile
from tifffile import PHOTOMETRIC

from recolor_cli.errors import InputError
from recolor_cli.image.codec import Codec, ContentSize, Reader, StoredPage
from recolor_cli.image.exif import ORIENTATION, Directory, upright_size
from recolor_cli.image.failures import damage_error
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.formats.tiff_levels import LAB, channels_of, pixels_of_levels
from recolor_cli.image.formats.tiff_segments import read_levels
from recolor_cli.image.formats.tiff_writer import PHOTOSHOP_TAG, XMP_TAG, TiffWriter
from recolor_cli.image.metadata import Metadata, clean_photoshop, clean_xmp
from recolor_cli.image.unsupported import RAW, unsupported_format, unsupported_kind
from recolor_cli.types import ImageSize

# tifffile logs what it repairs or doubts in a file; what it cannot read, it raises.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)

_BELOW = -1  # index of a page that is none of the file's own
_MOST_ROUNDING = 1  # px by which a level of a pyramid differs from an exact fraction
_RAW = (PHOTOMETRIC.CFA, PHOTOMETRIC.LINEAR_RAW)
_DNG_VERSION, _ICC_TAG = 50706, 34675
_NEXT_IS_EARLIER = "its directory names an earlier page as the next one"
_NEXT_IS_MISSING = "its directory names a next page, which is missing"
# Tags that describe how pixels lie in this one file.
_LAYOUT_TAGS = (
    {254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281}
    | {284, 288, 289, 290, 291, 292, 293, 297, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325}
    | {330, 332, 333, 334, 336, 338, 339, 340, 341, 342, 347, 529, 530, 531, 532}
    | set(range(512, 522))
)


@dataclass(frozen=True, slots=True)
class _PageHeader:
    """A page that is a picture of its own.

    Parameters
    ----------
    index : int
        Among all pages of the file, or `_BELOW`.
    page : tifffile.TiffPage
    directory : Directory
    """

    index: int
    page: tifffile.TiffPage
    directory: Directory

    @property
    def size(self) -> ImageSize:
        """As stored, px."""
        return ImageSize(self.page.imagelength, self.page.imagewidth)

    @property
    def declared_pixels(self) -> int:
        """Pixels of the page or, if that is more, of a tile; 4 channels count as one pixel."""
        page = self.page
        tile = math.prod(int(side) for side in page.tile or (0,))
        depth = max(int(page.imagedepth), 1)
        return max(self.size.pixels, tile) * depth * math.ceil(max(page.samplesperpixel, 1) / 4)

    @property
    def bits(self) -> int:
        """Bits of a channel."""
        return int(np.max(self.page.bitspersample))

    @property
    def is_reduced(self) -> bool:
        """Whether it is a small copy, or a mask, of another page by its tags."""
        return self.page.is_reduced or self.page.is_mask

    def is_level_of(self, full: _PageHeader) -> bool:
        """Tell whether it is a level of a pyramid that begins with another page.

        Some programs do not mark levels. Both are in tiles then, and one has a half, a quarter, or
        so on of the sides of the other.
        """
        if not (self.page.is_tiled and full.page.is_tiled):
            return False
        factor = round(full.size.height / self.size.height)
        is_power = factor > 1 and factor & (factor - 1) == 0
        pairs = ((full.size.height, self.size.height), (full.size.width, self.size.width))
        return is_power and all(abs(a / factor - b) <= _MOST_ROUNDING for a, b in pairs)

    @property
    def is_lab(self) -> bool:
        """Whether the channels are CIELAB."""
        return self.page.photometric in LAB

    @property
    def is_float(self) -> bool:
        """Whether the levels are floating-point numbers."""
        return self.page.dtype is not None and self.page.dtype.kind == "f"


class _TiffReader(Reader):
    def __init__(self, data: bytes, codec: Codec) -> None:
        super().__init__(codec)
        if error := unsupported_format(data):  # some cameras' own formats begin like a TIFF
            raise error
        self._data = data
        self._file = tifffile.TiffFile(io.BytesIO(data))
        self._has_pyramid = False
        self._damage_behind_pages = ""

    def content_size(self, all_pages: bool) -> ContentSize:
        found = self._headers if all_pages else self._headers[:1]
        return ContentSize(
            max(header.declared_pixels for header in found),
            any(header.bits > 8 for header in found),
            extra_bytes_per_pixel=(
                max(header.bits for header in found) // 2  # four channels as they are stored
                if any(header.is_float for header in found)
                else 0
            ),
        )

    def displayed_size(self) -> ImageSize:
        first = self._headers[0]
        return upright_size(first.size, first.directory.number(ORIENTATION) or 1)

    def page_count(self, all_pages: bool) -> int:
        return len(self._headers) if all_pages else 1

    def pages(self, all_pages: bool) -> Iterator[StoredPage]:
        self.was_read = True
        held = len(self._headers)
        if all_pages or held == 1:
            return map(self._decode, self._headers)
        return map(self._decode_first, self._headers[:1])

    def close(self) -> None:
        self._file.close()

    @cached_property
    def _headers(self) -> list[_PageHeader]:
        """Headers of the pages that are pictures, without thumbnails, masks and pyramids."""
        found: list[_PageHeader] = []
        for index, page in enumerate(self._listed_pages()):
            inner = [sub for sub in page.pages or () if isinstance(sub, tifffile.TiffPage)]
            is_raw = any(sub.photometric in _RAW for sub in (page, *inner))
            if is_raw or _DNG_VERSION in page.tags:
                raise unsupported_kind(RAW)
            header = self._header_of(page, index)
            if header.is_reduced:  # the picture may lie in a directory below that of its thumbnail
                full = (self._header_of(sub, _BELOW) for sub in inner)
                found += [header for header in full if not header.is_reduced]
            elif not (found and header.is_level_of(found[-1])):
                found.append(header)
                self._has_pyramid |= any(sub.is_tiled for sub in inner)
                continue
            self._has_pyramid |= page.is_tiled
        if not len(self._file.pages):
            raise damage_error("its end is missing")  # where many programs write the directory
        if not found:
            raise InputError("there is no picture in it", "scan it again")
        return found

    def _listed_pages(self) -> Iterator[tifffile.TiffPage]:
        """Yield the pages of the list that their directories form, as far as it leads."""
        seen: set[int] = set()
        try:
            for page in self._file.pages:
                if not isinstance(page, tifffile.TiffPage):
                    raise damage_error("its directories")
                if page.offset in seen:
                    self._damage_behind_pages = _NEXT_IS_EARLIER
                    return
                seen.add(page.offset)
                yield page
            if seen and self._names_next_page():
                self._damage_behind_pages = _NEXT_IS_MISSING
        except tifffile.TiffFileError:
            if not seen:
                raise
            self._damage_behind_pages = _NEXT_IS_MISSING

    def _names_next_page(self) -> bool:
        """Tell whether the last directory that can be read names the place of another one."""
        place = self._file.pages.next_page_offset or 0
        return any(self._data[place : place + self._file.tiff.offsetsize])

    def _header_of(self, page: tifffile.TiffPage, index: int) -> _PageHeader:
        order, is_big = self._file.byteorder, self._file.is_bigtiff
        return _PageHeader(index, page, Directory.of_tiff(self._data, page.offset, order, is_big))

    def _decode(self, header: _PageHeader) -> StoredPage:
        embedded = header.directory.entries.get(_ICC_TAG)
        profile = embedded.data if embedded and not header.is_lab else b""
        keeps_lost = len(self._headers) > 1  # the other pages count
        channels_of(header.page)  # raises before decoders do, whose errors would not name the kind
        levels, damage = read_levels(
            self._data, header.page, header.index, self.keeps_damaged, keeps_lost
        )
        (pixels, space, alpha), warnings = pixels_of_levels(levels, header.page)
        if header is self._headers[-1] and self._damage_behind_pages:
            damage = damage or self._damage_behind_pages
            if not self.keeps_damaged:
                raise damage_error(damage, some_is_left=True)
        if self._has_pyramid:
            warnings += ("its smaller copies for zooming (a pyramid) are left out",)
        if header.is_float:
            read_as = "kept" if profile else "read as sRGB and kept"
            warnings += (f"its floating-point levels are {read_as} in 16 bits",)
        return StoredPage(
            pixels, space, alpha, profile, metadata_of_directory(header.directory),
            header.directory.number(ORIENTATION) or 1, warnings, damage=damage,
            pages=len(self._headers),
        )  # fmt: skip

    def _decode_first(self, header: _PageHeader) -> StoredPage:
        page = self._decode(header)
        warning = f"only the first of its {page.pages} pages is recolored"
        return replace(page, warnings=(*page.warnings, warning), pages=1)


class _Tiff(Codec):
    format = ImageFormat.TIFF
    holds_metadata = frozenset({"exif", "xmp", "photoshop"})
    holds_16_bits = True
    holds_cmyk = True
    holds_pages = True
    page_noun = "page"

    def open(self, data: bytes) -> _TiffReader:
        return _TiffReader(data, self)

    def writer(self, file: BinaryIO, pages: int, quality: int) -> TiffWriter:
        return TiffWriter(file, pages)


def metadata_of_directory(directory: Directory) -> Metadata:
    """Return the metadata that a page's directory holds; its own tags count as EXIF."""
    kept = {tag: entry for tag, entry in directory.entries.items() if tag not in _LAYOUT_TAGS}
    xmp, photoshop = kept.pop(XMP_TAG, None), kept.pop(PHOTOSHOP_TAG, None)
    kept.pop(_ICC_TAG, None)
    has_exif = kept or directory.children
    return Metadata(
        exif=replace(directory, entries=kept).to_block() if has_exif else b"",
        xmp=clean_xmp(xmp.data) if xmp else b"",
        photoshop=clean_photoshop(photoshop.data) if photoshop else b"",
        dpi=directory.dpi,
    )


CODEC = _Tiff()
