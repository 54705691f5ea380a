"""PNM (PBM, PGM and PPM): gray or RGB of up to 16 bits a channel, without metadata.

References
----------
Netpbm, the specifications of pgm(5) and ppm(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

import numpy as np

from recolor_cli.image.attachments import FURTHER
from recolor_cli.image.codec import NewPage
from recolor_cli.image.failures import damage_error, fill
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.levels import stretch
from recolor_cli.image.pillow_codec import PillowCodec, PillowReader, Pixels, split_alpha
from recolor_cli.types import AnyPlanes

_GAP = rb"(?:\s+|#[^\n]*\n)+"
_BITMAP_HEADER = re.compile(rb"P([14])%b(\d{1,9})%b(\d{1,9})()\s" % (_GAP, _GAP))
_LEVELS_HEADER = re.compile(rb"P([2356])%b(\d{1,9})%b(\d{1,9})%b(\d{1,5})\s" % (_GAP, _GAP, _GAP))
_TOO_HIGH = "a level is above the highest that its header declares"
_COLOR_KINDS = (3, 6)
_BINARY_KINDS = {1: 4, 2: 5, 3: 6}  # by the kind that is text
_COMMENT = re.compile(rb"#[^\n]*")
_WORD, _LEVEL = re.compile(rb"\S+"), re.compile(rb"\d{1,9}")


class _PnmReader(PillowReader):
    def __init__(self, data: bytes, codec: PillowCodec) -> None:
        super().__init__(_text_to_binary(data), codec)

    def fill_up(self, data: bytes) -> bytes:
        header = _match_header(data)
        return data if header is None else fill(data, _end_of_pixels(header))

    def attachments(self) -> tuple[str, ...]:
        header = _match_header(self.data)
        rest = self.data[_end_of_pixels(header) :][:2] if header else b""
        return (FURTHER,) if rest in (b"P4", b"P5", b"P6") else ()

    @property
    def is_16_bit(self) -> bool:
        header = _match_header(self.data)
        return header is not None and int(header[4] or 0) > 255

    def decode_pixels(self) -> Pixels | None:
        return split_alpha(decode_16_bit(self.data)) if self.is_16_bit else None


def _match_header(data: bytes) -> re.Match[bytes] | None:
    return _BITMAP_HEADER.match(data) or _LEVELS_HEADER.match(data)


def _end_of_pixels(header: re.Match[bytes]) -> int:
    """Return where the pixels of a binary file end; another picture may follow."""
    kind, width, height = (int(number) for number in header.groups()[:3])
    bits = {4: 1}.get(kind, 16 if int(header[4] or 0) > 255 else 8)
    channels = 3 if kind in _COLOR_KINDS else 1
    return header.end() + -(-width * channels * bits // 8) * height


def _text_to_binary(data: bytes) -> bytes:
    """Convert a file of text to the binary kind, and return others as they are.

    Whatever stands behind the last level is left out. If levels are missing, or something else
    stands among them, the file is cut off there.

    Raises
    ------
    InputError
        If a level is above the highest that the header declares.
    """
    header = _match_header(data)
    kind, width, height = (int(number) for number in header.groups()[:3]) if header else (0, 0, 0)
    if header is None or kind not in _BINARY_KINDS:
        return data
    text = _COMMENT.sub(b"", data[header.end() :])
    head = b"P%d %d %d " % (_BINARY_KINDS[kind], width, height)
    if kind == 1:
        bits = np.frombuffer(text.translate(None, b" \t\n\v\f\r")[: width * height], np.uint8)
        rows = bits[: bits.size - bits.size % max(width, 1)].reshape(-1, max(width, 1)) - ord("0")
        is_broken = (rows > 1).any(axis=1)
        whole = rows[: int(is_broken.argmax())] if is_broken.any() else rows
        return head + np.packbits(whole, axis=1).tobytes()
    count = width * height * (3 if kind in _COLOR_KINDS else 1)
    highest = int(header[4])
    levels = np.fromiter(islice(_levels_in(text), count), np.int64)
    if levels.size and int(levels.max()) > highest:
        raise damage_error(_TOO_HIGH)
    return head + b"%d " % highest + levels.astype(">u2" if highest > 255 else "u1").tobytes()


def _levels_in(text: bytes) -> Iterator[int]:
    """Yield the numbers of a text up to the first word that is none."""
    for word in _WORD.finditer(text):
        if not _LEVEL.fullmatch(word[0]):
            return
        yield int(word[0])


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


def decode_16_bit(data: bytes) -> AnyPlanes:
    """Return the pixels of a PGM or PPM with 2 bytes a channel, 0..65535.

    Raises
    ------
    InputError
        If the header is broken, or a level is above the highest that it declares.
    ValueError
        If pixels are missing.
    """
    header = _match_header(data)
    if header is None:
        raise damage_error("its header")
    kind, width, height, highest = (int(number) for number in header.groups())
    shape = (height, width, 3) if kind in _COLOR_KINDS else (height, width)
    levels = np.frombuffer(data, ">u2", int(np.prod(shape)), header.end()).reshape(shape)
    if int(levels.max()) > highest:
        raise damage_error(_TOO_HIGH)
    return stretch(levels, highest, np.uint16)


CODEC = _Pnm()
