"""Find out by trying what a container holds: write a little, and read it back."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

import av
import av.error

from recolor_cli.video.film_reader import FilmReader
from recolor_cli.video.packets import mux_undamaged, readable_packets
from recolor_cli.video.stream_writers import add_writer, list_ways

_PACKETS = 1000  # packets of all streams that are searched for those of one stream
_TRIED = 20  # packets that are written
_DEMUXERS = {"webm": "matroska", "mp4": "mov", "3gp": "mov"}  # by muxer, where the names differ
_ALTERNATIVES = {".mkv": "matroska", ".mov": "mov", ".nut": "nut"}


def find_way(film: FilmReader, index: int, container: str) -> str | None:
    """Return the best way in which a container holds a stream, or None.

    Parameters
    ----------
    film : FilmReader
        Not a pipe.
    index : int
        Number of the stream.
    container : str
        FFmpeg's name.

    Returns
    -------
    str or None
        One of `stream_writers.list_ways`.
    """
    with film.open() as source:
        ways = list_ways(source.streams[index], container)
    return next((way for way in ways if _holds(film, index, container, way)), None)


def find_alternative(film: FilmReader, index: int, container: str) -> str | None:
    """Return the suffix of another container that holds a stream, or None."""
    for suffix, other in _ALTERNATIVES.items():
        if other != container and find_way(film, index, other) is not None:
            return suffix
    return None


def _holds(film: FilmReader, index: int, container: str, way: str) -> bool:
    """Tell whether a container keeps a stream that is written in one of `list_ways`."""
    memory = io.BytesIO()
    written = refused = 0
    with film.open() as source:
        stream = source.streams[index]
        kind = str(stream.type)
        try:
            with av.open(memory, "w", format=container) as target:
                writer = add_writer(target, stream, way)
                target.start_encoding()
                for packet in islice(_packets_of(source, index), _TRIED):
                    for made in writer.convert(packet):
                        is_written = mux_undamaged(target, made)
                        written, refused = written + is_written, refused + (not is_written)
        except (ValueError, av.error.FFmpegError):
            # Without a packet, some muxers cannot end a file.
            return written == 0 and _takes_header(film, index, container, way)
    if written == 0:
        return refused == 0
    found = can_read_back(memory, container, kind)
    if found is None or found:
        return bool(found)
    with film.open() as source:  # no decoder, or damage, in the source is no fault of the result
        return not _decodes(_packets_of(source, index), source.streams[index])


def _takes_header(film: FilmReader, index: int, container: str, way: str) -> bool:
    """Tell whether a container takes the header of a stream that begins late in the film."""
    with film.open() as source:
        if next(_packets_of(source, index), None) is not None:
            return False
        target = av.open(io.BytesIO(), "w", format=container)
        try:
            add_writer(target, source.streams[index], way)
            target.start_encoding()
        except (ValueError, av.error.FFmpegError):
            return False
        with suppress(av.error.FFmpegError):
            target.close()
        return True


def _packets_of(source: Any, index: int) -> Iterator[Any]:
    """Yield the packets of a stream from the begin of a source, with times that increase."""
    time = 0
    for packet in islice(readable_packets(source), _PACKETS):
        if packet.stream_index == index and packet.size:
            packet.pts = packet.dts = time
            time += max(packet.duration or 0, 1)
            yield packet


def can_read_back(memory: io.BytesIO, container: str, kind: str) -> bool | None:
    """Tell whether the only stream in a file can be played; None if it has another type.

    A container may take a codec that it has no name for, which makes data of it, or lose the
    numbers that its decoder needs. So sound and pictures are decoded.

    Parameters
    ----------
    memory : io.BytesIO
        The file.
    container : str
        FFmpeg's name.
    kind : str
        ``audio``, ``video`` or ``subtitle``.
    """
    memory.seek(0)
    try:
        again: Any = av.open(memory, format=_DEMUXERS.get(container, container))
    except (ValueError, av.error.FFmpegError):
        return None
    with again:
        stream = next((s for s in again.streams if s.type == kind), None)
        if stream is None or stream.codec_context is None:
            return None
        return kind == "subtitle" or _decodes(_packets_of(again, stream.index), stream)


def _decodes(packets: Iterator[Any], stream: Any) -> bool:
    """Tell whether the first packets of a stream give a frame."""
    for packet in (*islice(packets, _TRIED), None):
        with suppress(av.error.FFmpegError):
            if stream.decode(packet):
                return True
    return False
