"""Write the finished file: the new picture stream, and the source's other streams unchanged."""

from __future__ import annotations

import heapq
import io
import threading
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

from recolor_cli.errors import OutputError
from recolor_cli.video.containers import cannot_hold, is_mov
from recolor_cli.video.encoding import VideoEncoding
from recolor_cli.video.film_options import Span
from recolor_cli.video.film_reader import FilmReader, is_cover
from recolor_cli.video.segment_store import SegmentStore

# Tags that a muxer writes itself, or that do not hold for the new stream.
_OWN_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder", "vendor_id")
_OWN_STREAM_TAGS = (
    "encoder",
    "vendor_id",
    "duration",
    "bps",
    "number_of_frames",
    "number_of_bytes",
)
# Tags that MP4 can hold. If the source has another one, all are written as QuickTime metadata.
_MOV_TAGS = {
    "title", "artist", "album_artist", "composer", "album", "date", "genre", "comment", "copyright",
    "description", "synopsis", "show", "episode_id", "network", "lyrics", "keywords", "grouping",
    "track", "disc", "season_number", "episode_sort", "media_type", "hd_video", "creation_time",
    "compilation", "gapless_playback", "location", "sort_name", "language",
}  # fmt: skip


class Stopped(Exception):
    """Raised when the stop event is set while the result is written."""


def assemble(
    film: FilmReader,
    encoding: VideoEncoding,
    store: SegmentStore,
    span: Span,
    path: Path,
    stop: threading.Event,
) -> list[str]:
    """Write the file `path` from the encoded frames and the source's other streams in the span.

    Returns
    -------
    list of str
        Warnings that name the streams that could not be kept.

    Raises
    ------
    OutputError
        If the file cannot be written, or the container cannot hold the sound.
    Stopped
        If `stop` is set.
    """
    source = None if film.is_pipe else film.open()
    try:
        with _open_target(f"file:{path}", encoding, source, is_mov(encoding.container)) as target:
            stream, copies, warnings = _add_streams(target, film, encoding, source, span)
            pictures = _picture_packets(stream, encoding, store)
            others: Iterable[tuple[float, int, Any]] = ()
            if copies:
                others = _copied_packets(source, copies, span, film.info.start)
            for _, _, packet in heapq.merge(pictures, others, key=lambda item: item[:2]):
                if stop.is_set():
                    raise Stopped
                target.mux_one(packet)
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):  # of the disk, not of FFmpeg; the caller knows the path
            raise
        raise OutputError(
            f"the result cannot be written as {encoding.container}: {error.strerror or error}",
            "check that the disk has room, or use another format with -o",
        ) from error
    finally:
        if source:
            source.close()
    return warnings


def check_streams(film: FilmReader, encoding: VideoEncoding, span: Span) -> None:
    """Check that the container can hold all streams, before hours of work.

    Raises
    ------
    OutputError
        As `assemble`.
    """
    source = None if film.is_pipe else film.open()
    try:
        with _open_target(io.BytesIO(), encoding, source, False) as target:
            _add_streams(target, film, encoding, source, span)
    except av.error.FFmpegError as error:
        raise OutputError(
            f"{encoding.container} cannot hold it: {error.strerror or error}",
            "use another format with -o, such as NAME.mkv",
        ) from error
    finally:
        if source:
            source.close()


def _open_target(file: Any, encoding: VideoEncoding, source: Any, fast_start: bool) -> Any:
    """Open a container for writing, with the options that keep the source's times and tags."""
    options = {}
    if is_mov(encoding.container):
        options["video_track_timescale"] = str(encoding.time_base.denominator)
        flags = "+faststart" if fast_start else ""
        if source and not _MOV_TAGS.issuperset(_read_tags(source)):
            flags += "+use_metadata_tags"
        if flags:
            options["movflags"] = flags
    if encoding.container == "mpegts":
        options["mpegts_copyts"] = "1"
    return av.open(file, "w", format=encoding.container, options=options)


def _add_streams(
    target: Any, film: FilmReader, encoding: VideoEncoding, source: Any, span: Span
) -> tuple[Any, dict[int, Any], list[str]]:
    """Add all streams and write the header.

    Return the new picture stream, the copied streams by the source's stream numbers, and warnings.
    """
    stream = _add_picture_stream(target, encoding, film)
    copies: dict[int, Any] = {}
    warnings: list[str] = []
    if source:
        target.metadata.update(_read_tags(source))
        picture = film.find_picture_stream(source)
        stream.metadata.update(_read_tags(picture))
        stream.disposition = picture.disposition
        copies, warnings = _add_copies(film, source, target, picture, encoding.container)
        _copy_chapters(source, target, span, film.info.start)
    target.start_encoding()
    return stream, copies, warnings


def _add_picture_stream(target: Any, encoding: VideoEncoding, film: FilmReader) -> Any:
    try:
        stream = target.add_stream(encoding.codec, rate=encoding.rate)
    except ValueError as error:
        raise cannot_hold(encoding.container, f"picture as {encoding.codec}") from error
    encoding.configure(stream.codec_context)
    stream.time_base = encoding.time_base
    if film.info.matrix and not film.is_pipe:
        stream.set_display_matrix(film.info.matrix)
    return stream


def _read_tags(thing: Any) -> dict[str, str]:
    """Return the tags of a container or stream that the muxer does not write itself."""
    own = _OWN_TAGS if not hasattr(thing, "codec_context") else _OWN_STREAM_TAGS
    return {
        key: value
        for key, value in thing.metadata.items()
        if key.lower().split("-")[0] not in own and not key.upper().startswith("_STATISTICS")
    }


def _add_copies(
    film: FilmReader, source: Any, target: Any, picture: Any, container: str
) -> tuple[dict[int, Any], list[str]]:
    """Add a copy of each other stream. Return them by the source's stream numbers, and warnings."""
    copies = {}
    warnings = []
    for stream in source.streams:
        if stream.index == picture.index:
            continue
        if container == "matroska" and is_cover(stream):  # Matroska keeps covers as attachments
            target.add_attachment(*_read_cover(film, stream))
            continue
        try:
            copy = _add_copy(target, stream, container)
        except (ValueError, av.error.FFmpegError) as error:
            if stream.type == "audio":
                raise cannot_hold(container, f"sound ({_codec_name(stream)})") from error
            warnings += _describe_lost_stream(source, stream, picture, container)
            continue
        copy.metadata.update(_read_tags(stream))
        copy.disposition = stream.disposition
        copies[stream.index] = copy
    return copies, warnings


def _add_copy(target: Any, stream: Any, container: str) -> Any:
    """Add a copy of one stream, or raise ValueError or FFmpegError if there is no place for it."""
    if stream.type == "data" and stream.codec_context is None:
        raise ValueError("data of an unknown kind")
    if stream.type == "attachment" and container not in ("matroska", "webm"):
        raise ValueError("the container has no attachments")
    return target.add_stream_from_template(stream, opaque=True)


def _describe_lost_stream(source: Any, stream: Any, picture: Any, container: str) -> list[str]:
    """Return the warning about a stream that is left out, if its content is lost."""
    # MP4 keeps chapters and time codes as data streams, which the muxer writes anew.
    if stream.type == "data" and (source.chapters() or "timecode" in picture.metadata):
        return []
    if stream.type == "data" and stream.codec_context is None:
        return ["data of unknown kind is left out"]
    advice = "" if container == "matroska" else "; .mkv can"
    return [f"{container} cannot hold its {stream.type} ({_codec_name(stream)}){advice}"]


def _codec_name(stream: Any) -> str:
    return str(stream.codec_context.name if stream.codec_context else stream.type)


def _read_cover(film: FilmReader, stream: Any) -> tuple[str, str, bytes]:
    """Return the file name, MIME type and bytes of a cover."""
    kind = {"mjpeg": "jpeg"}.get(stream.codec_context.name, stream.codec_context.name)
    name = stream.metadata.get("filename", f"cover.{kind.replace('jpeg', 'jpg')}")
    with film.open() as source:  # the cover is the first packet of its stream
        packet = next(source.demux(source.streams[stream.index]))
        return name, stream.metadata.get("mimetype", f"image/{kind}"), bytes(packet)


def _copy_chapters(source: Any, target: Any, span: Span, film_start: float) -> None:
    """Copy the chapters of the span, cut to the span."""
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


def _picture_packets(
    stream: Any, encoding: VideoEncoding, store: SegmentStore
) -> Iterator[tuple[float, int, Any]]:
    """Yield decoding time (s), 0 and packet of each encoded frame.

    The decoding times are computed anew, because each segment had an encoder of its own: the k-th
    packet is decoded at the time of the frame that is displayed `delay` places earlier.
    """
    times = np.fromiter(store.read_times(), np.int64)
    order = np.argsort(times, kind="stable")
    displayed = times[order]
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    delay = int((np.arange(len(order)) - place).max(initial=0))
    step = int(displayed[1] - displayed[0]) if len(displayed) > 1 else 1
    base: Fraction = encoding.time_base
    for index, stored in enumerate(store.read_packets()):
        packet = av.Packet(stored.data)
        packet.stream, packet.time_base = stream, base
        packet.pts, packet.duration = stored.pts, stored.duration
        early = index - delay
        packet.dts = int(displayed[early] if early >= 0 else displayed[0] + early * step)
        packet.is_keyframe = stored.is_keyframe
        yield float(packet.dts * base), 0, packet


def _copied_packets(
    source: Any, copies: dict[int, Any], span: Span, film_start: float
) -> Iterator[tuple[float, int, Any]]:
    """Yield decoding time (s), 1 and packet of the copied streams, within the span."""
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
        except (av.error.FFmpegError, OSError):  # the file is truncated
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
        latest = max(latest, seconds + film_start)  # heapq.merge needs sorted times
        yield latest, 1, packet
