"""Write TIFF files page by page, deflated, with EXIF directories.

tifffile writes no EXIF directories. They are written behind the pages here: each page gets an entry
with a placeholder tag, which is replaced by the right tag and the offset of the directory.
"""

from __future__ import annotations

import io
import struct
from typing import Any, BinaryIO, cast

import tifffile

from recolor_cli.image.codec import NewPage
from recolor_cli.image.color_profiles import Space
from recolor_cli.image.exif import (
    INCH,
    ORIENTATION,
    RESOLUTION_UNIT,
    X_RESOLUTION,
    Y_RESOLUTION,
    Directory,
)

XMP_TAG, PHOTOSHOP_TAG = 700, 34377

_PLACEHOLDER = 1  # subtracted from a tag, gives one that tifffile does not write
_CLASSIC_LIMIT = 2**32 - 2**25  # bytes that 32-bit offsets reach, with room for the directories
_STRIP_BYTES = 1 << 18
_LONG, _IFD8 = 4, 18  # types of offsets of 32 and of 64 bits


class TiffWriter:
    """Writes the pages of one TIFF file.

    Parameters
    ----------
    file : BinaryIO
        Empty, and open for reading, too.
    pages : int
        How many will be added.
    """

    def __init__(self, file: BinaryIO, pages: int) -> None:
        self._file = file
        self._count = pages
        self._writer: tifffile.TiffWriter | None = None
        self._children: list[dict[int, Directory]] = []

    def add(self, page: NewPage) -> None:
        """Write the next page."""
        block = page.metadata.exif
        directory = Directory.of_block(block) if block else Directory("<")
        if self._writer is None:  # the first page's byte order is that of the file
            is_big = page.pixels.nbytes * self._count > _CLASSIC_LIMIT
            order = cast(Any, directory.order)
            self._writer = tifffile.TiffWriter(self._file, bigtiff=is_big, byteorder=order)
        _write_page(self._writer, page, directory)
        self._children.append(directory.children)

    def finish(self) -> None:
        """Write the directories behind the pages."""
        assert self._writer is not None
        self._writer.close()
        _write_children(self._file, self._children)


def _write_page(writer: tifffile.TiffWriter, page: NewPage, directory: Directory) -> None:
    metadata = page.metadata
    resolution, unit = _resolution(page, directory)
    channels = 4 if page.space is Space.CMYK else 3
    written_otherwise = (ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT)
    extra: list[tuple[int, int, int, object, bool]] = [
        (tag, entry.kind, entry.count, entry.data, True)
        for tag, entry in directory.entries.items()
        if tag not in written_otherwise
    ]
    extra += [(tag - _PLACEHOLDER, 4, 1, 0, True) for tag in directory.children]
    for tag, value in ((XMP_TAG, metadata.xmp), (PHOTOSHOP_TAG, metadata.photoshop)):
        if value:
            extra.append((tag, 1, len(value), value, True))
    writer.write(
        page.pixels,
        photometric="separated" if page.space is Space.CMYK else "rgb",
        planarconfig="contig",
        extrasamples=["unassalpha"] if page.pixels.shape[2] > channels else None,
        compression="adobe_deflate",
        predictor=True,
        rowsperstrip=max(1, _STRIP_BYTES // (page.pixels.nbytes // len(page.pixels))),
        resolution=resolution,
        resolutionunit=unit,
        iccprofile=metadata.icc_profile or None,
        extratags=extra,
        metadata=None,
        software=False,
        maxworkers=1,
    )


def _resolution(
    page: NewPage, directory: Directory
) -> tuple[tuple[tuple[int, int], tuple[int, int]], int]:
    """Return the resolution, across and down, as fractions, and its unit as TIFF numbers it."""
    x, y = directory.rational(X_RESOLUTION), directory.rational(Y_RESOLUTION)
    if x and y and x[1] and y[1]:
        return (x, y), directory.number(RESOLUTION_UNIT) or INCH
    if page.metadata.dpi:
        across, down = (round(value * 1000) for value in page.metadata.dpi)
        return ((across, 1000), (down, 1000)), INCH
    return ((1000, 1000), (1000, 1000)), 1


def _write_children(file: BinaryIO, children: list[dict[int, Directory]]) -> None:
    """Write the directories that pages point to, and their offsets into the pages."""
    if not any(children):
        return
    file.seek(0)
    with tifffile.TiffFile(file) as written:
        places = [
            (cast(tifffile.TiffPage, page).tags[tag - _PLACEHOLDER], tag, directory)
            for page, found in zip(written.pages, children, strict=True)
            for tag, directory in found.items()
        ]
        order = written.byteorder
        for place, tag, directory in places:
            at = file.seek(0, io.SEEK_END)
            at += file.write(b"\0" * (at % 2))
            file.write(directory.to_bytes(at, written.is_bigtiff))
            kind, number = (_IFD8, "Q") if written.is_bigtiff else (_LONG, "I")
            file.seek(place.offset)
            file.write(struct.pack(order + "HH", tag, kind))
            file.seek(place.valueoffset)
            file.write(struct.pack(order + number, at))
