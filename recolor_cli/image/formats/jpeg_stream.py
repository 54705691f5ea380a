"""The segments of a JPEG, its pixels, and whether all of them are there.

libjpeg makes a picture of nearly any file, and warns where data are missing or wrong. simplejpeg
passes these warnings on, for 8 bits a channel. imagecodecs decodes all other depths without them.
So simplejpeg reads these, too, as if they had 8 bits: the levels are wrong, and the warnings right,
because the codes are the same. There is no such check for what it does not read: sides of more than
65,500 px, and channels that are subsampled in rare ways, as in CMYK of 4:2:0.

References
----------
ITU-T T.81 (1992), annex B: segments, and G: progressive scans. JFIF 1.02. Adobe technical note
5116, section 18: the segment APP14.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import imagecodecs
import numpy as np
import simplejpeg

from recolor_cli.image.failures import damage_error
from recolor_cli.image.levels import stretch
from recolor_cli.image.unsupported import JPEG_LS, unsupported_kind
from recolor_cli.types import AnyPlanes

_TEMPORARY, _START, _END, _START_OF_SCAN, _LINES = 0x01, 0xD8, 0xD9, 0xDA, 0xDC
_APP0, _APP2, _APP13, _APP14 = 0xE0, 0xE2, 0xED, 0xEE
_PROFILE = b"ICC_PROFILE\0"  # then the number of a part, from 1, and how many there are
PHOTOSHOP = b"Photoshop 3.0\0"
_LEAST_LENGTHS = (
    (_APP0, b"JFIF", 7),
    (_APP2, _PROFILE, 14),
    (_APP2, b"MPF\0", 12),
    (_APP14, b"Adobe", 7),
)
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # start a frame; tables have these three
_LS_FRAME = 0xF7  # JPEG-LS
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_LOSSLESS = (0xC3, 0xC7, 0xCB, 0xCF)
_ARITHMETIC = (0xC9, 0xCA, 0xCB)
_COEFFICIENTS = 64
_GRAY = 128  # level of missing parts
# The first marker behind the data of a scan: restart markers and escaped bytes belong to the data.
_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_COLOR = {1: "GRAY", 3: "RGB", 4: "CMYK"}  # simplejpeg's names, by the number of channels


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment: its marker's second byte, and where marker, content and the rest begin."""

    marker: int
    head: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Scan:
    """A scan: its channels, and the first and last coefficient and lowest bit that it brings."""

    channels: tuple[int, ...]
    first: int
    last: int
    low_bit: int


class JpegStream:
    """A JPEG whose segments are known, up to its end or to where they break off.

    Parameters
    ----------
    data : bytes

    Raises
    ------
    InputError
        If it has no picture's header.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.segments = list(walk_segments(data))
        frame = next((part for part in self.segments if part.marker in _FRAMES), None)
        if any(part.marker == _LS_FRAME for part in self.segments):
            raise unsupported_kind(JPEG_LS)
        content = data[frame.start : frame.end] if frame else b""
        if frame is None or len(content) < 6 or len(content) < 6 + 3 * content[5]:
            raise damage_error("its header")
        self.frame = frame
        self.data = self._with_height()

    def _with_height(self) -> bytes:
        """Return the file with its height in its header; it may stand behind the first scan."""
        scan = next((i for i, s in enumerate(self.segments) if s.marker == _START_OF_SCAN), None)
        lines = self.segments[scan + 1 : scan + 2] if scan is not None else []
        place = self.frame.start + 1
        height = self.data[place : place + 2]
        if lines and lines[0].marker == _LINES:
            height = self.data[lines[0].start : lines[0].end]
        if len(height) != 2 or not any(height):
            raise damage_error("its height is missing")
        if height == self.data[place : place + 2]:
            return self.data
        return self.data[:place] + height + self.data[place + 2 :]

    @property
    def bits(self) -> int:
        """Bits of a channel, 2..16."""
        return self.data[self.frame.start]

    @property
    def _size(self) -> tuple[int, int]:
        """Height and width, px."""
        at = self.frame.start + 1
        return int.from_bytes(self.data[at : at + 2]), int.from_bytes(self.data[at + 2 : at + 4])

    @property
    def channels(self) -> tuple[int, ...]:
        """Numbers by which the scans name the channels."""
        count = self.data[self.frame.start + 5]
        return tuple(self.data[self.frame.start + 6 + 3 * i] for i in range(count))

    @property
    def has_end(self) -> bool:
        """Whether the end marker is there."""
        return self.segments[-1].marker == _END

    @cached_property
    def profile_is_broken(self) -> bool:
        """Whether parts of the color profile are missing or numbered wrongly."""
        numbers = [tuple(self.data[s.start + 12 : s.start + 14]) for s in self._profile_parts()]
        return sorted(numbers) != [(i + 1, len(numbers)) for i in range(len(numbers))]

    def _profile_parts(self) -> list[Segment]:
        found = (part for part in self.segments if part.marker == _APP2)
        return [s for s in found if self.data[s.start : s.end].startswith(_PROFILE)]

    def for_pillow(self) -> bytes:
        """Return the file with 8 bits, and with other names for segments that Pillow fails at."""
        data = self.data if self.bits == 8 else self._declare_8_bits(self.data)
        short = [part.start for part in self.segments if self._is_too_short(part)]
        if not short:
            return data
        changed = bytearray(data)
        for at in short:
            changed[at] = 0
        return bytes(changed)

    def _is_too_short(self, part: Segment) -> bool:
        content = self.data[part.start : part.end]
        if part.marker == _APP13 and content.startswith(PHOTOSHOP):
            return content[-6:-2] == b"8BIM"  # it ends behind the number of a resource
        return any(
            part.marker == marker and content.startswith(head) and len(content) < least
            for marker, head, least in _LEAST_LENGTHS
        )

    def decode(self) -> tuple[AnyPlanes, str]:
        """Decode as much as there is.

        Returns
        -------
        uint8 or uint16 array, shape (H, W) for gray, else (H, W, C)
            RGB, or CMYK as it is stored. More than 8 bits are stretched to 0..65535. Missing parts
            are gray.
        damage : str
            What is missing or wrong; empty if the picture is whole.
        """
        data = self._in_order()
        damage = self._missing_scans()
        is_plain = self.bits == 8 and self.frame.marker not in _LOSSLESS
        levels: AnyPlanes | None = None
        try:
            with_8_bits = data if is_plain else self._declare_8_bits(data)
            levels, warning = self._decode_with_warning(with_8_bits)
        except ValueError:  # of a kind that simplejpeg does not read
            warning, damage = "", damage or self._missing_end()
        if levels is None or not is_plain:
            stored = np.asarray(imagecodecs.jpeg8_decode(data))
            dtype = np.uint16 if self.bits > 8 else np.uint8
            levels = stretch(stored, (1 << self.bits) - 1, dtype)
        if warning and not self._is_padding(warning, data):
            damage = damage or self._missing_end() or "a part of its data is missing or wrong"
        return levels, damage

    def _decode_with_warning(self, data: bytes) -> tuple[AnyPlanes, str]:
        """Return levels of 8 bits and libjpeg's first warning; ValueError if there are none."""
        color = _COLOR.get(len(self.channels), "RGB")
        warning = ""
        try:
            levels = simplejpeg.decode_jpeg(data, color)
        except ValueError as error:
            warning = str(error)
            # If libjpeg warns and then gives up, this does not raise, and writes no further rows.
            levels = np.full((*self._size, len(self.channels)), _GRAY, np.uint8)
            levels = simplejpeg.decode_jpeg(data, color, buffer=levels, strict=False)
        return (levels[..., 0] if color == "GRAY" else levels), warning

    def _declare_8_bits(self, data: bytes) -> bytes:
        at = self.frame.start
        changed = bytearray(data)
        changed[at] = 8
        if self.frame.marker in _LOSSLESS:  # may leave out more low bits than 8 bits have
            for part in self.segments:
                if part.marker == _START_OF_SCAN and part.end > part.start:
                    changed[part.end - 1] &= 0xF0
        return bytes(changed)

    def _missing_end(self) -> str:
        return "" if self.has_end else "its end is missing"

    @cached_property
    def _scans(self) -> Sequence[_Scan]:
        found = []
        for part in self.segments:
            content = self.data[part.start : part.end]
            if part.marker == _START_OF_SCAN and len(content) >= 4 + 2 * content[0]:
                count = content[0]
                first, last, bits = content[1 + 2 * count : 4 + 2 * count]
                found.append(_Scan(tuple(content[1 : 1 + 2 * count : 2]), first, last, bits & 15))
        return found

    def _missing_scans(self) -> str:
        """Return what the scans lack. libjpeg does not warn when a file breaks off between two."""
        if not {*self.channels} <= {number for scan in self._scans for number in scan.channels}:
            return self._missing_end() or "a part of its data is missing or wrong"
        if self.frame.marker in _ARITHMETIC:  # the decoder goes on without data, and does not warn
            return self._missing_end()
        if self.has_end or self.frame.marker not in _PROGRESSIVE:
            return ""
        low_bits = {(number, k): 15 for number in self.channels for k in range(_COEFFICIENTS)}
        for scan in self._scans:
            for number in scan.channels:
                for k in range(scan.first, scan.last + 1):
                    low_bits[number, k] = scan.low_bit
        return self._missing_end() if any(low_bits.values()) else ""

    def _is_padding(self, warning: str, data: bytes) -> bool:
        """Tell whether libjpeg warned of nothing but padding in front of the end marker.

        Padding is all alike, and what stands in front of it is not: a hole would be decoded, too.
        """
        match = _EXTRANEOUS.search(warning)
        if match is None:
            return False
        end = self.segments[-1].head if self.has_end else len(data) - 2
        start = end - int(match[1])
        return len({*data[start:end]}) == 1 and len({*data[start - 8 : end]}) > 1

    def _in_order(self) -> bytes:
        """Return the file with an end, and without what libjpeg warns of and reads all the same.

        It reports only its first warning, which must not hide one of damage. A segment that is cut
        off is left out, because libjpeg would give up there.
        """
        changes = dict(self._harmless_changes())
        if not changes and self.has_end:
            return self.data
        changed = bytearray(self.data)
        for at, value in changes.items():
            changed[at] = value
        if not self.has_end:
            changed[self._start_of_rest() :] = bytes([0xFF, _END])
        return bytes(changed)

    def _start_of_rest(self) -> int:
        """Return where a segment begins that the end of the file cuts off, or else that end."""
        marker = _find_marker(self.data, self.segments[-1].end)
        if marker is None:
            return len(self.data)
        length = int.from_bytes(self.data[marker.end() : marker.end() + 2])
        is_whole = marker.end() + max(length, 2) <= len(self.data)
        return len(self.data) if is_whole else marker.start()

    def _harmless_changes(self) -> Iterator[tuple[int, int]]:
        """Yield places and values: of odd JFIF versions, color transforms, scans and profiles.

        Bytes between two segments become fill bytes, which may stand there. Parts of a broken color
        profile lose their name.
        """
        if self.profile_is_broken:
            yield from ((part.start, 0) for part in self._profile_parts())
        for before, after in pairwise(self.segments):
            if before.marker != _START_OF_SCAN:
                yield from ((at, 0xFF) for at in range(before.end, after.head))
        data, count = self.data, len(self.channels)
        is_sequential = self.frame.marker not in (*_PROGRESSIVE, *_LOSSLESS)
        for marker, start, end in ((part.marker, part.start, part.end) for part in self.segments):
            content = data[start:end]
            if marker == _APP0 and content[:5] == b"JFIF\0" and content[5:6] not in (b"", b"\1"):
                yield start + 5, 1
            elif marker == _APP14 and content[:5] == b"Adobe" and len(content) >= 12:
                known = (0, 1) if count == 3 else (0, 2)
                if count >= 3 and content[11] not in known:
                    yield start + 11, known[1]
            elif marker == _START_OF_SCAN and is_sequential and content:
                spectrum = start + 1 + 2 * content[0]
                for at, value in enumerate((0, _COEFFICIENTS - 1, 0), spectrum):
                    if at < end and data[at] != value:
                        yield at, value


def walk_segments(data: bytes) -> Iterator[Segment]:
    """Yield the segments behind the start marker, the end marker last, up to where they break off.

    The data of a scan stand between two segments.
    """
    at = 2
    while match := _find_marker(data, at):
        marker, start = data[match.end() - 1], match.end()
        has_content = marker not in (_START, _END, _TEMPORARY)
        length = int.from_bytes(data[start : start + 2]) if has_content else 0
        at = start + length
        if has_content and (length < 2 or at > len(data)):
            return
        yield Segment(marker, match.start(), min(start + 2, at), at)
        if marker == _END:
            return


def _find_marker(data: bytes, at: int) -> re.Match[bytes] | None:
    """Return what `_MARKER` finds from a place on, in a sixth of its time.

    The data of a scan are searched by numpy in parts that grow, because headers follow one another.
    """
    size = 64
    while at + 1 < len(data):
        part = np.frombuffer(data, np.uint8, min(size, len(data) - at), at)
        high = np.flatnonzero(part[:-1] == 0xFF)
        second = part[high + 1]
        for place in high[(second != 0) & ((second < 0xD0) | (second > 0xD7))]:
            if match := _MARKER.match(data, at + int(place)):
                return match
        at += len(part) - 1  # the last byte may begin a marker
        size = min(4 * size, 1 << 18)
    return None
