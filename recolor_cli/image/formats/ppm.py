"""PNM (PBM, PGM and PPM): gray or RGB of up to 16 bits a channel, without metadata.

References
----------
Netpbm, the specifications of pgm(5) and ppm(5).
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from recolor_cli.image.attachments import FURTHER
from recolor_cli.image.codec import NewPage
from recolor_cli.image.failures import damage_error, fill
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.pillow_codec import PillowCodec, PillowReader, Pixels, split_alpha

_GAP = rb"(?:\s+|#[^\n]*\n)+"
_BITMAP_HEADER = re.compile(rb"P([14])%b(\d{1,9})%b(\d{1,9})()\s" % (_GAP, _GAP))
_LEVELS_HEADER = re.compile(rb"P([2356])%b(\d{1,9})%b(\d{1,9})%b(\d{1,5})\s" % (_GAP, _GAP, _GAP))
_COLOR_KINDS, _TEXT_KINDS = (3, 6), (1, 2, 3)
_BLACK = b" 0"  # a level in text
_HEADER = re.compile(rb"P([56])%b(\d{1,9})%b(\d{1,9})%b(\d{1,5})\s" % (_GAP, _GAP, _GAP))


class _PnmReader(PillowReader):
    def fill_up(self, data: bytes) -> bytes:
        header = _BITMAP_HEADER.match(data) or _LEVELS_HEADER.match(data)
        if header is None:
            return data
        kind, width, height = (int(number) for number in header.groups()[:3])
        channels = 3 if kind in _COLOR_KINDS else 1
        count = width * height * channels
        if kind in _TEXT_KINDS:
            levels = data[header.end() :]
            found = levels.count(b"0") + levels.count(b"1") if kind == 1 else len(levels.split())
            return fill(data, len(data) + len(_BLACK) * (count - found), _BLACK)
        return fill(data, _end_of_bytes(header))

    def attachments(self) -> tuple[str, ...]:
        header = _BITMAP_HEADER.match(self.data) or _LEVELS_HEADER.match(self.data)
        if header is None or int(header[1]) in _TEXT_KINDS:
            return ()
        rest = self.data[_end_of_bytes(header) :][:2]
        return (FURTHER,) if rest in (b"P4", b"P5", b"P6") else ()

    @property
    def is_16_bit(self) -> bool:
        header = _HEADER.match(self.data)
        return header is not None and int(header[4]) > 255

    def decode_pixels(self) -> Pixels | None:
        return split_alpha(decode_16_bit(self.data)) if self.is_16_bit else None


def _end_of_bytes(header: re.Match[bytes]) -> int:
    """Return where the pixels of a header of a kind without text end; a picture may follow."""
    kind, width, height = (int(number) for number in header.groups()[:3])
    bits = {4: 1}.get(kind, 16 if int(header[4] or 0) > 255 else 8)
    channels = 3 if kind in _COLOR_KINDS else 1
    return header.end() + -(-width * channels * bits // 8) * height


class _Pnm(PillowCodec):
    format = ImageFormat.PPM
    holds_metadata = frozenset[str]()
    reader = _PnmReader
    holds_transparency = False
    holds_16_bits = True

    def encode_levels(self, page: NewPage, quality: int) -> bytes | None:
        if page.pixels.dtype != np.uint16:
            return None
        height, width = page.pixels.shape[:2]
        return f"P6\n{width} {height}\n65535\n".encode() + page.pixels.astype(">u2").tobytes()


def decode_16_bit(data: bytes) -> NDArray[np.uint16]:
    """Return the pixels of a PGM or PPM with 2 bytes a channel, 0..65535.

    Raises
    ------
    InputError
        If the header is broken, or a level is above the highest that it declares.
    ValueError
        If pixels are missing.
    """
    header = _HEADER.match(data)
    if header is None:
        raise damage_error("its header")
    width, height, highest = (int(number) for number in header.groups()[1:])
    shape = (height, width, 3) if header[1] == b"6" else (height, width)
    levels = np.frombuffer(data, ">u2", int(np.prod(shape)), header.end()).reshape(shape)
    if int(levels.max()) > highest:
        raise damage_error("a level is above the highest that its header declares")
    return np.rint(levels * np.float64(65535 / highest)).astype(np.uint16)


CODEC = _Pnm()
