"""Stored levels of TIFF pages: two readers, and what is left of damaged pages.

A page is stored in segments, strips or tiles, each compressed by itself. tifffile decodes most
kinds. libtiff, by way of imagecodecs, knows some old ones that tifffile does not: JPEG of before
1995, and YCbCr whose color has another resolution. Both raise for broken data, but for that of JPEG
and CCITT, which are checked here.
"""

from __future__ import annotations

from typing import Any, cast

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from tifffile import COMPRESSION, PHOTOMETRIC, TiffPage

from recolor_cli.image.failures import damage_error
from recolor_cli.image.formats.jpeg_stream import JpegStream
from recolor_cli.image.formats.tiff_fax import FAX_COMPRESSIONS, decode_rows, holds_all_rows

_MISSING = "a part of its data is missing or wrong"


def read_levels(
    data: bytes, page: TiffPage, index: int, keeps_damaged: bool, keeps_lost: bool
) -> tuple[NDArray[Any], str]:
    """Decode the levels of a page as they are stored, but JPEG and YCbCr as gray or RGB.

    Parameters
    ----------
    data : bytes
        The file.
    page : TiffPage
    index : int
        Of the page among those of the file.
    keeps_damaged : bool
        Whether the segments that can be decoded are returned if others cannot.
    keeps_lost : bool
        Whether a page of which none can be decoded is returned, too.

    Returns
    -------
    array of the page's dtype, shape (H, W, C)
        Bits, uint8, are 0 or 1. Uncompressed gray pixels lie in `data` itself. Segments that are
        missing are 0.
    damage : str
        What is missing, if something is; else empty.

    Raises
    ------
    InputError
        If a part is missing and not to be left out.
    Exception
        Whatever a broken file, or an unknown compression, leads the decoders to.
    """
    damage = _find_damage(data, page)
    if damage:
        rest, found = _decode_segments(data, page)
    else:
        try:
            return _decode(data, page, index), ""
        except MemoryError:
            raise
        except Exception:
            rest, found = _decode_segments(data, page)
            if not (found or keeps_lost):
                raise
            damage = _MISSING if found else "nothing of it can be decoded"
    some_is_left = bool(found) or keeps_lost
    if not (some_is_left and keeps_damaged):
        raise damage_error(damage, some_is_left)
    return rest, damage


def _decode(data: bytes, page: TiffPage, index: int) -> NDArray[Any]:
    """Decode a page by the reader that knows it; raises the first one's error if none does."""
    readers = [_decode_by_tifffile, _decode_by_libtiff]
    if page.photometric == PHOTOMETRIC.YCBCR and page.compression == COMPRESSION.NONE:
        readers.reverse()  # tifffile would return YCbCr
    failures = []
    for read in readers:
        try:
            return read(data, page, index)
        except MemoryError:
            raise
        except Exception as error:
            failures.append(error)
    raise failures[0]


def _decode_by_tifffile(data: bytes, page: TiffPage, index: int) -> NDArray[Any]:
    height, width, samples = page.imagelength, page.imagewidth, page.samplesperpixel
    dtype = cast("np.dtype[Any]", page.dtype)
    is_stored_so = (
        page.is_contiguous
        and page.planarconfig == 1
        and page.fillorder == 1
        and page.bitspersample == 8 * dtype.itemsize
        and dtype.newbyteorder(page.parent.byteorder).isnative
    )
    if is_stored_so and samples <= 2:
        found = np.frombuffer(data, dtype, height * width * samples, page.dataoffsets[0])
        return found.reshape(height, width, samples)
    return _in_order(np.asarray(page.asarray(maxworkers=1)), page)


def _decode_by_libtiff(data: bytes, page: TiffPage, index: int) -> NDArray[Any]:
    return _in_order(np.asarray(imagecodecs.tiff_decode(data, index)), page)


def _in_order(levels: NDArray[Any], page: TiffPage) -> NDArray[Any]:
    """Return levels as shape (H, W, C), and bits as numbers."""
    if levels.ndim == 3 and page.planarconfig == 2 and levels.shape[0] == page.samplesperpixel:
        levels = np.moveaxis(levels, 0, -1)
    levels = levels.reshape(page.imagelength, page.imagewidth, -1)
    return levels.view(np.uint8) if levels.dtype == np.bool_ else levels


def _find_damage(data: bytes, page: TiffPage) -> str:
    """Return what the directory and JPEGs tell of missing data; decoders find other damage."""
    if page.compression == COMPRESSION.OJPEG:
        return ""  # it has other tags
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    for start, size in segments:
        if not size:
            return _MISSING
        if start + (_pixel_bytes(page) or size) > len(data):
            return "its end is missing"
    contents = (data[start : start + size] for start, size in segments)
    if page.compression == COMPRESSION.JPEG:
        return next(filter(None, (_find_jpeg_damage(each, page) for each in contents)), "")
    if page.compression in FAX_COMPRESSIONS:
        is_whole = all(holds_all_rows(page, *each) for each in enumerate(contents))
        return "" if is_whole else _MISSING
    return ""


def _pixel_bytes(page: TiffPage) -> int:
    """Return the size of pixels that lie in the file as they are; it counts, whatever is declared.

    0 if they are compressed, or lie in several places.
    """
    is_plain = page.is_contiguous and int(np.min(page.bitspersample)) >= 8
    is_plain = is_plain and page.photometric != PHOTOMETRIC.YCBCR  # may have fewer levels of color
    return page.nbytes if is_plain and len(page.dataoffsets) == 1 else 0


def _find_jpeg_damage(segment: bytes, page: TiffPage) -> str:
    """Decode a segment as a JPEG of its own, with the tables that all segments share."""
    if page.jpegtables:
        segment = page.jpegtables.removesuffix(b"\xff\xd9") + segment.removeprefix(b"\xff\xd8")
    try:
        return JpegStream(segment).decode()[1]
    except Exception:
        return ""  # of a kind of its own; the readers tell


def _decode_segments(data: bytes, page: TiffPage) -> tuple[NDArray[Any], int]:
    """Decode the segments one by one; return the levels, and how many could be decoded."""
    levels = np.zeros(page.shaped, page.dtype)
    found = 0
    for number, (start, size) in enumerate(
        zip(page.dataoffsets, page.databytecounts, strict=False)
    ):
        encoded = data[start : start + size]
        if page.compression == COMPRESSION.NONE and encoded:
            encoded = encoded.ljust(min(size, page.nbytes), b"\0")
        try:
            part, place = _decode_segment(page, number, encoded)
        except Exception:
            continue
        if part is not None:
            plane, _, row, column, _ = place
            target = levels[plane, 0, row : row + part.shape[1], column : column + part.shape[2]]
            target[...] = part[0, : target.shape[0], : target.shape[1]]
            found += 1
    stored = levels[:, 0, ..., 0] if len(levels) > 1 else levels[0, 0]
    return _in_order(stored, page), found


def _decode_segment(
    page: TiffPage, number: int, encoded: bytes
) -> tuple[NDArray[Any] | None, tuple[int, int, int, int, int]]:
    """Return the levels, shape (1, rows, columns, C), and where they lie in the page."""
    if page.compression in FAX_COMPRESSIONS and encoded:
        _, place, _ = page.decode(None, number)
        return decode_rows(page, number, encoded)[None, ..., None], place
    tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
    part, place, _ = page.decode(encoded, number, **tables)
    return part, place
