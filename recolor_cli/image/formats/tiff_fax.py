"""CCITT compression of TIFF pages: whether a segment holds all of its rows, and those it holds.

imagecodecs makes white rows of data that are missing or wrong, without a word. So damage is found
here: in group 4, by a row that is appended and must come out in its place; in the other kinds,
by the number of rows in front of the first fault.

References
----------
TIFF 6.0, sections 10 and 11. ITU-T T.4 (2003), section 4; T.6 (1988), section 2.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from functools import partial

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from tifffile import COMPRESSION, FILLORDER, TiffPage

FAX_COMPRESSIONS = (COMPRESSION.CCITTRLE, COMPRESSION.CCITT_T4, COMPRESSION.CCITT_T6)
_T4_OPTIONS = 292
_END_OF_DATA = "000000000001" * 2  # bits of group 4
_MOST_ZEROS = 3  # bits with which a code may end
_BLACK_ROW = "00100110101"  # horizontal mode, no white; a run of black follows
# Codes of black runs, one for each count of bits, so that the data end with a byte.
_BLACK_RUNS = {
    "11": 2, "010": 1, "0011": 5, "00011": 7, "000101": 8, "0000100": 10, "00000100": 13,
    "000011000": 15,
}  # fmt: skip
_MOST_PIXELS_OF_A_BYTE = 2000  # of kinds other than group 4: 2560 need 12 bits
_MOST_COUNTED = 1 << 28  # pixels, a byte each, that are decoded at a time to count rows


def holds_all_rows(page: TiffPage, number: int, segment: bytes) -> bool:
    """Tell whether a segment of a page, by its number, holds the rows that it is to hold."""
    rows = _expected_rows(page, number)
    segment = _in_bit_order(page, segment)
    if page.compression == COMPRESSION.CCITT_T6:
        filled_up = page.rowsperstrip or 0  # some programs fill up the last strip
        return any(
            _ends_behind(_width(page), segment, count) for count in {rows, max(rows, filled_up)}
        )
    decode, width = _decoder(page), _width(page)
    step = _MOST_COUNTED // _MOST_PIXELS_OF_A_BYTE
    for end in range(step, len(segment) + step, step):
        try:
            if len(decode(segment[:end], 0, width)) >= rows:
                return True
        except imagecodecs.Ccittfax3Error:  # not one row
            continue
    return False


def decode_rows(page: TiffPage, number: int, segment: bytes) -> NDArray[np.uint8]:
    """Decode a segment as far as possible.

    Returns
    -------
    uint8 array, shape (rows, width)
        0 is white; so are the missing rows.

    Raises
    ------
    imagecodecs.Ccittfax3Error
        If there is no row.
    """
    rows, width = _expected_rows(page, number), _width(page)
    decode, segment = _decoder(page), _in_bit_order(page, segment)

    def is_too_many(count: int) -> bool:
        try:
            decode(segment, count, width)
        except imagecodecs.Ccittfax3Error:
            return True
        return False

    if is_too_many(rows):  # rows of group 3 that depend on the one before
        rows = bisect_left(range(1, rows + 1), True, key=is_too_many)
    found = decode(segment, rows, width)
    missing = _expected_rows(page, number) - rows
    return np.pad(found, ((0, missing), (0, 0)))


def _ends_behind(width: int, segment: bytes, rows: int) -> bool:
    """Tell whether data of group 4 end behind so many rows, by a row that is put there."""
    for bits in _without_end(segment):
        code = next(c for c in _BLACK_RUNS if (len(bits) + len(_BLACK_ROW) + len(c)) % 8 == 0)
        bits += _BLACK_ROW + code
        data = int(bits, 2).to_bytes(len(bits) // 8)
        try:
            last = imagecodecs.ccittfax4_decode(data, rows + 1, width)[rows]
        except imagecodecs.Ccittfax4Error:
            return False
        if np.array_equal(last, np.arange(width) < _BLACK_RUNS[code]):
            return True
    return False


def _without_end(segment: bytes) -> Iterator[str]:
    """Yield the bits in front of the end; without one, all that may be in front of filling."""
    bits = f"{int.from_bytes(segment):0{8 * len(segment)}b}"
    bits, end, _ = bits.partition(_END_OF_DATA)
    if end:
        yield bits
        return
    bits = bits.rstrip("0")
    yield from (bits + "0" * count for count in range(_MOST_ZEROS + 1))


def _decoder(page: TiffPage) -> partial[NDArray[np.uint8]]:
    if page.compression == COMPRESSION.CCITT_T6:
        return partial(imagecodecs.ccittfax4_decode)
    if page.compression == COMPRESSION.CCITTRLE:
        return partial(imagecodecs.ccittrle_decode)
    options = page.tags.valueof(_T4_OPTIONS) or 0
    return partial(imagecodecs.ccittfax3_decode, t4options=options)


def _in_bit_order(page: TiffPage, segment: bytes) -> bytes:
    is_reversed = page.fillorder == FILLORDER.LSB2MSB
    return bytes(imagecodecs.bitorder_decode(segment)) if is_reversed else segment


def _expected_rows(page: TiffPage, number: int) -> int:
    return int(page.decode(None, number)[2][1])


def _width(page: TiffPage) -> int:
    return int(page.tilewidth if page.is_tiled else page.imagewidth)
