"""The streams of a source besides its picture: which of them a result takes, and their packets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av.error

from recolor_cli.errors import OutputError
from recolor_cli.image.provenance import PROGRAM
from recolor_cli.video.containers import STARTS_AT_ZERO, is_mov
from recolor_cli.video.film_reader import FilmReader, is_cover
from recolor_cli.video.packets import readable_packets
from recolor_cli.video.span import Span
from recolor_cli.video.stream_trial import find_alternative, find_way
from recolor_cli.video.stream_writers import (
    COPY,
    StreamWriter,
    add_writer,
    codec_of,
    is_lossy,
)

# Tags that a muxer writes itself, or that do not hold for the new stream.
_OWN_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder", "vendor_id", PROGRAM)
_OWN_STREAM_TAGS = (
    "encoder", "vendor_id", "duration", "bps", "number_of_frames", "number_of_bytes",
)  # fmt: skip
_NOUNS = {"audio": "sound", "subtitle": "subtitle"}


def read_tags(thing: Any) -> dict[str, str]:
    """Return the tags of a container or stream that the muxer does not write itself."""
    own = _OWN_TAGS if not hasattr(thing, "codec_context") else _OWN_STREAM_TAGS
    return {
        key: value
        for key, value in thing.metadata.items()
        if key.lower().split("-")[0] not in own and not key.upper().startswith("_STATISTICS")
    }


class OtherStreams:
    """The streams of a source besides its picture.

    Parameters
    ----------
    film : FilmReader
    source : av.container.InputContainer
        The film, open once more.
    picture : av.stream.Stream
        Stream of the picture in `source`.
    container : str
        FFmpeg's name of the result's format.
    span : Span
        The part of the film that the result shows.

    Attributes
    ----------
    warnings : list of str
        Name what is lost or changed.
    """

    def __init__(
        self, film: FilmReader, source: Any, picture: Any, container: str, span: Span
    ) -> None:
        self._film, self._source, self._picture = film, source, picture
        self._container, self._span = container, span
        self._writers: dict[int, StreamWriter] = {}  # by the index of the source's stream
        self.warnings: list[str] = []

    def add_to(self, target: Any) -> None:
        """Add a stream to the result for each one that it can hold.

        Raises
        ------
        OutputError
            If it cannot hold the sound.
        """
        for stream in self._source.streams:
            if stream.index == self._picture.index:
                continue
            # Matroska keeps covers as attachments.
            if self._container == "matroska" and is_cover(stream):
                target.add_attachment(*self._read_cover(stream))
                continue
            way = self._find_way(stream)
            if way is None:
                self._leave_out(stream)
                continue
            try:
                writer = add_writer(target, stream, way)
            except (ValueError, av.error.FFmpegError):
                self._leave_out(stream)
                continue
            if way != COPY:
                self.warnings.append(self._describe_change(stream, writer.stream, way))
            writer.stream.metadata.update(read_tags(stream))
            writer.stream.disposition = stream.disposition
            self._writers[stream.index] = writer

    def _describe_change(self, stream: Any, new: Any, way: str) -> str:
        """Return the warning that a stream changes its codec."""
        change = f"its {_NOUNS[stream.type]} ({codec_of(stream)}) becomes {codec_of(new)}"
        if not is_lossy(way):
            return f"{change}, which {self._container} can hold"
        rate = round(new.codec_context.bit_rate / 1000)
        return f"{change} of {rate} kb/s, which players expect; -o NAME.mkv loses nothing of it"

    def _find_way(self, stream: Any) -> str | None:
        """Return the way in which a stream is written, or None if it is left out."""
        if stream.type in ("audio", "subtitle"):
            return find_way(self._film, stream.index, self._container)
        if stream.type == "data" and stream.codec_context is None:
            return None
        if stream.type == "attachment" and self._container not in ("matroska", "webm"):
            return None
        return COPY

    def _leave_out(self, stream: Any) -> None:
        """Warn that a stream is lost, if its content is; refuse to lose sound."""
        codec = codec_of(stream)
        if stream.type == "data":
            # MP4 keeps chapters and time codes as data streams, which the muxer writes anew.
            if self._source.chapters() or "timecode" in self._picture.metadata:
                return
            if stream.codec_context is None:
                self.warnings.append("data of unknown kind is left out")
                return
        other = None
        if stream.type in ("audio", "subtitle"):
            other = find_alternative(self._film, stream.index, self._container)
        if stream.type == "audio":
            raise OutputError(
                f"{self._container} cannot hold its sound ({codec})",
                f"use -o NAME{other}, which can"
                if other
                else "convert its sound first: ffmpeg -i FILE -c copy -c:a flac NEW.mkv",
            )
        advice = f"; {other} can" if other else ""
        self.warnings.append(f"{self._container} cannot hold its {stream.type} ({codec}){advice}")

    def _read_cover(self, stream: Any) -> tuple[str, str, bytes]:
        """Return the file name, MIME type and bytes of a cover."""
        codec = codec_of(stream)
        kind = {"mjpeg": "jpeg"}.get(codec, codec)
        name = stream.metadata.get("filename", f"cover.{kind.replace('jpeg', 'jpg')}")
        with self._film.open() as source:  # the cover is the first packet of its stream
            packet = next(source.demux(source.streams[stream.index]))
            return name, stream.metadata.get("mimetype", f"image/{kind}"), bytes(packet)

    def packets(self) -> Iterator[tuple[float, int, Any]]:
        """Yield decoding time (s), 1 and packet of the result's streams, within the span."""
        latest = float("-inf")
        for index, packet in self._source_packets():
            for made in self._writers[index].convert(packet):
                time = made.dts if made.dts is not None else made.pts
                if time is not None:
                    if time < 0 and self._container in STARTS_AT_ZERO:  # where encoders warm up
                        continue
                    latest = max(latest, float(time * made.time_base))  # heapq.merge needs order
                yield latest, 1, made

    def _source_packets(self) -> Iterator[tuple[int, Any]]:
        """Yield index and packet of the source's streams, then None for each, at their end."""
        streams = [
            self._source.streams[index]
            for index in self._writers
            if self._source.streams[index].type != "attachment"
        ]
        numbers = dict.fromkeys(self._writers, -1)
        latest: dict[int, int] = {}
        for packet in readable_packets(self._source, streams) if streams else ():
            if not packet.size:  # the end of a stream
                continue
            index = packet.stream_index
            numbers[index] += 1
            if self._place(packet, numbers[index]):
                if packet.stream.type in ("audio", "video") and not is_cover(packet.stream):
                    latest[index] = _order_packet(packet, latest.get(index))
                yield index, packet
        for stream in streams:
            yield stream.index, None

    def _place(self, packet: Any, number: int) -> bool:
        """Give a packet its time in the result; tell whether it lies in the span."""
        if is_cover(packet.stream):
            packet.pts = packet.dts = 0
            return True
        hides = "mov" in self._source.format.name and not is_mov(self._container)
        if hides and _is_before_film(packet):
            return False
        film, span, base = self._film, self._span, packet.time_base
        time = packet.dts if packet.dts is not None else packet.pts
        if time is None:
            return False
        offset = film.clock.offset_of_packet(packet.stream_index, number)
        if not span.is_all and not span.holds(float(time * base) + offset - film.info.start):
            return False
        ticks = round((offset - film.first_moment(self._container, span.start)) / base)
        packet.dts = packet.dts + ticks if packet.dts is not None else None
        packet.pts = packet.pts + ticks if packet.pts is not None else None
        return True


def _order_packet(packet: Any, before: int | None) -> int:
    """Give a packet a decoding time after that of the one before it, and return it.

    Damaged files have times that go back, for which no muxer takes a packet.
    """
    ticks: int = packet.dts if packet.dts is not None else packet.pts
    if before is not None and ticks <= before:
        ticks = before + 1
    packet.dts = ticks
    packet.pts = ticks if packet.pts is None else max(packet.pts, ticks)
    return ticks


def _is_before_film(packet: Any) -> bool:
    """Tell whether a packet of sound lies before the film, where an edit list hides it.

    Only MP4 and MOV can hide it again. In other formats it would delay the picture.
    """
    if packet.stream.type != "audio" or packet.pts is None:
        return False
    return bool(packet.pts < 0 and packet.pts + (packet.duration or 0) <= 0)
