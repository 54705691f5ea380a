"""Read from the header of a film where it ends, to tell films that break off before."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any, BinaryIO

import av

# FFmpeg's names. For other formats it guesses a duration from what is there.
_FORMATS_WITH_LENGTH = ("mov", "matroska", "avi", "flv", "mxf", "rm", "ivf", "gxf")
_DURATION_TAG = re.compile(r"(\d+):(\d+):([\d.]+)")
_BOX_HEAD = struct.Struct(">I4s")  # size, type [ISO 14496-12]
_EBML, _SEGMENT = bytes.fromhex("1a45dfa3"), bytes.fromhex("18538067")
_EBML_HEAD = 4096  # bytes; the segment begins behind about 40
_ASF_HEAD = 65536  # bytes in which the properties are looked for
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
# Behind that mark and the sizes, the file's ID, its date and number of packets [ASF 3.2]:
# duration and sending duration, 100 ns; preroll, ms; flags, of which 1 means a broadcast.
_ASF_TIMES = struct.Struct("<QQQI")
_ASF_TIMES_PLACE = 64


def read_declared_end(container: Any, stream: Any, path: Path | None) -> float | None:
    """Return the time at which the picture ends according to the header, s, if it says so.

    Parameters
    ----------
    container : av.container.InputContainer
    stream : av.video.VideoStream
    path : Path or None
        Of the file; None for a pipe.
    """
    name = container.format.name.split(",")[0]
    if name == "asf" and path:
        return _read_end_of_asf(path)
    if name not in _FORMATS_WITH_LENGTH:
        return None
    start = float((stream.start_time or 0) * stream.time_base)
    if name == "avi" and stream.frames:  # a tick is a frame
        return start + float(stream.frames * stream.time_base)
    if stream.duration:
        return start + float(stream.duration * stream.time_base)
    if match := _DURATION_TAG.match(stream.metadata.get("DURATION", "")):  # of Matroska
        hours, minutes, seconds = map(float, match.groups())
        return hours * 3600 + minutes * 60 + seconds
    if container.duration:
        return float((container.start_time or 0) + container.duration) / av.time_base
    return None


def _read_end_of_asf(path: Path) -> float | None:
    """Return where a film in ASF ends, s. FFmpeg does not tell it if the file has another size."""
    with path.open("rb") as file:
        head = file.read(_ASF_HEAD)
    place = head.find(_ASF_PROPERTIES)
    if place < 0 or len(head) < place + _ASF_TIMES_PLACE + _ASF_TIMES.size:
        return None
    duration, _, preroll, flags = _ASF_TIMES.unpack_from(head, place + _ASF_TIMES_PLACE)
    return None if flags & 1 or not duration else duration / 1e7 - preroll / 1e3


def count_missing_bytes(path: Path) -> int:
    """Return how many bytes a file lacks of those that it announces.

    MP4, fragmented too, Matroska, AVI and SWF announce them.

    Returns
    -------
    int
        0 for other formats.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        if len(head) < 8:
            return 0
        if head.startswith(b"FWS"):
            return max(int.from_bytes(head[4:], "little") - size, 0)
        if head.startswith(b"RIFF"):
            return max(len(head) + int.from_bytes(head[4:], "little") - size, 0)
        if head.startswith(_EBML):
            file.seek(0)
            return max(_find_end_of_segment(file.read(_EBML_HEAD)) - size, 0)
        if head[4:] in (b"ftyp", b"moov", b"styp"):
            return max(_find_end_of_boxes(file, size) - size, 0)
    return 0


def _find_end_of_segment(head: bytes) -> int:
    """Return where the segment of a Matroska file ends, or 0 if its head does not say so."""
    length, place = _read_ebml_size(head, len(_EBML))
    place += length
    if head[place : place + len(_SEGMENT)] != _SEGMENT:
        return 0
    length, place = _read_ebml_size(head, place + len(_SEGMENT))
    return place + length if length else 0


def _read_ebml_size(head: bytes, place: int) -> tuple[int, int]:
    """Return a size, 0 if it is unknown, and the place behind it [RFC 8794, section 4]."""
    first = int.from_bytes(head[place : place + 1])
    width = 9 - first.bit_length()
    bits = 7 * width
    size = int.from_bytes(head[place : place + width]) & ((1 << bits) - 1)
    return (0 if size == (1 << bits) - 1 else size), place + width


def _find_end_of_boxes(file: BinaryIO, size: int) -> int:
    """Return where the last box of a file begins whose size is known, plus that size."""
    place = 0
    while place + _BOX_HEAD.size <= size:
        file.seek(place)
        length, _ = _BOX_HEAD.unpack(file.read(_BOX_HEAD.size))
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        if length < _BOX_HEAD.size:  # 0: to the end of the file; else it is no box
            return size
        place += length
    return place
