"""The finished file: the new stream with everything else that the source has, untouched."""

from __future__ import annotations

import heapq
import io
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

from recolor_cli.errors import OutputError
from recolor_cli.video.encoding import Encoding, cannot_hold, is_mov
from recolor_cli.video.film_reader import Film, is_cover
from recolor_cli.video.segment_store import Storage

# What a muxer writes itself, or what is no longer true of the new stream.
_OWN_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder", "vendor_id")
_OWN_STREAM_TAGS = (
    "encoder",
    "vendor_id",
    "duration",
    "bps",
    "number_of_frames",
    "number_of_bytes",
)
# What MP4 has a place for; where the source has any other tag, all are written another way.
_MOV_TAGS = {
    "title", "artist", "album_artist", "composer", "album", "date", "genre", "comment", "copyright",
    "description", "synopsis", "show", "episode_id", "network", "lyrics", "keywords", "grouping",
    "track", "disc", "season_number", "episode_sort", "media_type", "hd_video", "creation_time",
    "compilation", "gapless_playback", "location", "sort_name", "language",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Span:
    """The part of a film that is kept, s from its beginning."""

    start: float = 0.0
    end: float | None = None

    def holds(self, time: float) -> bool:
        """Tell whether a moment lies in it."""
        return time >= self.start and (self.end is None or time < self.end)

    @property
    def is_all(self) -> bool:
        """Whether it is the whole film."""
        return self.start == 0 and self.end is None


class Stopped(Exception):
    """Somebody does not want to wait for the end."""


def assemble(
    film: Film,
    encoding: Encoding,
    storage: Storage,
    span: Span,
    path: Path,
    stop: threading.Event | None = None,
) -> list[str]:
    """Write the result: the encoded frames, and the source's other streams as they are.

    Parameters
    ----------
    film : Film
    encoding : Encoding
    storage : Storage
        Where the encoded frames are.
    span : Span
        The times of encoded frames count from its start already.
    path : Path
        What to write; its name says nothing.
    stop : threading.Event or None
        Once set, it is given up.

    Returns
    -------
    list of str
        What could not be kept.

    Raises
    ------
    OutputError
        If it cannot be written, or has no place for the sound.
    Stopped
        If it was to stop.
    """
    stop = stop or threading.Event()
    warnings: list[str] = []
    source = None if film.is_pipe else film.open()
    try:
        with _opened(str(path), encoding, source, is_mov(encoding.container)) as target:
            stream, copies = _set_up(target, film, encoding, source, span, warnings)
            packets = _packets(stream, encoding, storage, source, copies, span, film.info.start)
            for packet in packets:
                if stop.is_set():
                    raise Stopped
                target.mux_one(packet)
    except av.error.FFmpegError as error:
        raise OutputError(
            f"cannot write it as {encoding.container}: {error.strerror or error}",
            "see that there is room; or use another format with -o",
        ) from error
    finally:
        if source:
            source.close()
    return warnings


def check(film: Film, encoding: Encoding, span: Span) -> None:
    """Fail now if `assemble` would, hours later, for want of a place for one of the streams.

    Raises
    ------
    OutputError
        As `assemble`.
    """
    source = None if film.is_pipe else film.open()
    try:
        with _opened(io.BytesIO(), encoding, source, False) as target:
            _set_up(target, film, encoding, source, span, [])
    except av.error.FFmpegError as error:
        raise OutputError(
            f"{encoding.container} cannot hold it: {error.strerror or error}",
            "use another format with -o, such as NAME.mkv",
        ) from error
    finally:
        if source:
            source.close()


def _opened(file: Any, encoding: Encoding, source: Any, fast_start: bool) -> Any:
    """Open a container for writing, with the options that keep what is in the source."""
    options = {}
    if is_mov(encoding.container):
        options["video_track_timescale"] = str(encoding.time_base.denominator)
        flags = "+faststart" if fast_start else ""
        if source and not _MOV_TAGS.issuperset(_tags(source)):
            flags += "+use_metadata_tags"
        if flags:
            options["movflags"] = flags
    if encoding.container == "mpegts":
        options["mpegts_copyts"] = "1"
    return av.open(file, "w", format=encoding.container, options=options)


def _set_up(
    target: Any, film: Film, encoding: Encoding, source: Any, span: Span, warnings: list[str]
) -> tuple[Any, dict[int, Any]]:
    """Write the header; return the picture's stream, and the others by the source's numbers."""
    stream = _picture_stream(target, encoding, film)
    copies: dict[int, Any] = {}
    if source:
        target.metadata.update(_tags(source))
        picture = film.picture_stream(source)
        stream.metadata.update(_tags(picture))
        stream.disposition = picture.disposition
        copies = _copies(film, source, target, picture, encoding.container, warnings)
        _copy_chapters(source, target, span, film.info.start)
    target.start_encoding()
    return stream, copies


def _picture_stream(target: Any, encoding: Encoding, film: Film) -> Any:
    """Add the stream of the new picture."""
    try:
        stream = target.add_stream(encoding.codec, rate=encoding.rate)
    except ValueError as error:
        raise cannot_hold(encoding.container, f"picture as {encoding.codec}") from error
    encoding.configure(stream.codec_context)
    stream.time_base = encoding.time_base
    if film.info.matrix and not film.is_pipe:
        stream.set_display_matrix(film.info.matrix)
    return stream


def _tags(thing: Any) -> dict[str, str]:
    """Return the metadata of a container or stream, but for what a muxer writes itself."""
    own = _OWN_TAGS if not hasattr(thing, "codec_context") else _OWN_STREAM_TAGS
    return {
        key: value
        for key, value in thing.metadata.items()
        if key.lower().split("-")[0] not in own and not key.upper().startswith("_STATISTICS")
    }


def _copies(
    film: Film, source: Any, target: Any, picture: Any, container: str, warnings: list[str]
) -> dict[int, Any]:
    """Add a stream for each other one of the source; return them by the source's numbers."""
    copies = {}
    for stream in source.streams:
        if stream.index == picture.index:
            continue
        name = stream.codec_context.name if stream.codec_context else stream.type
        if container == "matroska" and is_cover(stream):  # there they are attachments
            target.add_attachment(*_cover(film, stream))
            continue
        try:
            if stream.type == "data" and stream.codec_context is None:
                raise ValueError("who knows what it is")
            if stream.type == "attachment" and container not in ("matroska", "webm"):
                raise ValueError("it has no place for attachments")
            copy = target.add_stream_from_template(stream, opaque=True)
        except (ValueError, av.error.FFmpegError) as error:
            if stream.type == "audio":
                raise cannot_hold(container, f"sound ({name})") from error
            # Chapters and time codes are such streams in MP4, which the muxer writes anew.
            known = source.chapters() or "timecode" in picture.metadata
            if stream.type == "data" and not known and stream.codec_context is None:
                warnings.append("data of unknown kind is left out")
            elif stream.type != "data" or not known:
                advice = "" if container == "matroska" else "; .mkv can"
                warnings.append(f"{container} cannot hold its {stream.type} ({name}){advice}")
            continue
        copy.metadata.update(_tags(stream))
        copy.disposition = stream.disposition
        copies[stream.index] = copy
    return copies


def _cover(film: Film, stream: Any) -> tuple[str, str, bytes]:
    """Return a cover as a file: its name, its type and its bytes."""
    kind = {"mjpeg": "jpeg"}.get(stream.codec_context.name, stream.codec_context.name)
    name = stream.metadata.get("filename", f"cover.{kind.replace('jpeg', 'jpg')}")
    with film.open() as source:  # a cover is the first packet of its stream
        packet = next(source.demux(source.streams[stream.index]))
        return name, stream.metadata.get("mimetype", f"image/{kind}"), bytes(packet)


def _copy_chapters(source: Any, target: Any, span: Span, film_start: float) -> None:
    """Copy the chapters, those in the span as far as they are in it."""
    kept = []
    for chapter in source.chapters():
        base = chapter["time_base"]
        begin, end = (float(chapter[key] * base) - film_start for key in ("start", "end"))
        if not span.is_all:
            if end <= span.start or (span.end is not None and begin >= span.end):
                continue
            first = max(begin, span.start) - span.start
            last = (end if span.end is None else min(end, span.end)) - span.start
            chapter = chapter | {"start": round(first / base), "end": round(last / base)}
        kept.append(chapter)
    if kept:
        target.set_chapters(kept)


def _packets(
    stream: Any,
    encoding: Encoding,
    storage: Storage,
    source: Any,
    copies: dict[int, Any],
    span: Span,
    film_start: float,
) -> Iterator[Any]:
    """Yield all packets, those of the picture among the others as their times have it."""
    pictures = _pictures(stream, encoding, storage)
    others: Iterable[tuple[float, int, Any]] = ()
    if copies:
        others = _others(source, copies, span, film_start)
    for _, _, packet in heapq.merge(pictures, others, key=lambda item: item[:2]):
        yield packet


def _pictures(
    stream: Any, encoding: Encoding, storage: Storage
) -> Iterator[tuple[float, int, Any]]:
    """Yield time, 0 and packet of each encoded frame.

    Each segment had an encoder of its own, so the times of decoding are given anew: the k-th packet
    is decoded at the time of the frame that is shown `delay` places earlier.
    """
    times = np.fromiter(storage.heads(), np.int64)  # 8 bytes a frame of a long film
    order = np.argsort(times, kind="stable")
    shown = times[order]
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    delay = int((np.arange(len(order)) - place).max(initial=0))
    step = int(shown[1] - shown[0]) if len(shown) > 1 else 1
    base: Fraction = encoding.time_base
    for index, stored in enumerate(storage.packets()):
        packet = av.Packet(stored.data)
        packet.stream, packet.time_base = stream, base
        packet.pts, packet.duration = stored.pts, stored.duration
        early = index - delay
        packet.dts = int(shown[early] if early >= 0 else shown[0] + early * step)
        packet.is_keyframe = stored.is_keyframe
        yield float(packet.dts * base), 0, packet


def _others(
    source: Any, copies: dict[int, Any], span: Span, film_start: float
) -> Iterator[tuple[float, int, Any]]:
    """Yield time, 1 and packet of the streams that are copied, as far as they are in the span."""
    streams = [
        source.streams[index] for index in copies if source.streams[index].type != "attachment"
    ]
    if not streams:
        return
    latest = float("-inf")
    packets = source.demux(streams)
    while True:
        try:
            packet = next(packets, None)
        except (av.error.FFmpegError, OSError):  # the file ends in the middle of something
            return
        if packet is None:
            return
        cover = is_cover(packet.stream)
        if cover and packet.size:
            packet.pts = packet.dts = 0
        time = packet.dts if packet.dts is not None else packet.pts
        if time is None or not packet.size:
            continue
        base = packet.time_base
        seconds = float(time * base) - film_start
        if not cover and not span.is_all:
            if not span.holds(seconds):
                continue
            shift = round(span.start / base)
            packet.dts = packet.dts - shift if packet.dts is not None else None
            packet.pts = packet.pts - shift if packet.pts is not None else None
        packet.stream = copies[packet.stream_index]
        latest = max(latest, seconds + film_start)  # merging needs what rises
        yield latest, 1, packet
