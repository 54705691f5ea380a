"""Write the finished file: the new picture stream, and the source's other streams unchanged."""

from __future__ import annotations

import heapq
import io
import threading
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

from recolor_cli.errors import OutputError
from recolor_cli.image.provenance import Provenance
from recolor_cli.system.texts import counted
from recolor_cli.video.containers import STARTS_AT_ZERO, is_mov
from recolor_cli.video.encoding import VideoEncoding
from recolor_cli.video.film_reader import FilmReader
from recolor_cli.video.image_sequence import count_frames_before
from recolor_cli.video.other_streams import OtherStreams, read_tags
from recolor_cli.video.packets import mux_undamaged
from recolor_cli.video.provenance_tag import with_record
from recolor_cli.video.segment_store import SegmentStore
from recolor_cli.video.span import Span
from recolor_cli.video.stream_trial import can_read_back
from recolor_cli.video.timecode import shift_timecode

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
    provenance: Provenance | None = None,
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
    fast_start = is_mov(encoding.container)
    try:
        with (
            _open_source(film) as source,
            _open_target(f"file:{path}", encoding, source, fast_start) as target,
        ):
            stream, others = _add_streams(target, film, encoding, source, span, provenance)
            pictures = _picture_packets(stream, encoding, store, _picture_end(film, source, span))
            packets = others.packets() if others else ()
            damaged = 0
            for _, kind, packet in heapq.merge(pictures, packets, key=lambda item: item[:2]):
                if stop.is_set():
                    raise Stopped
                damaged += not mux_undamaged(target, packet, is_picture=kind == 0)
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):  # of the disk, not of FFmpeg; the caller knows the path
            raise
        raise OutputError(
            f"the result cannot be written as {encoding.container}: {error.strerror or error}",
            "check that the disk has room, or use another format with -o",
        ) from error
    if others and damaged:
        others.warnings.append(f"its sound is damaged: {counted(damaged, 'packet')} left out")
    return others.warnings if others else []


def check_streams(film: FilmReader, encoding: VideoEncoding, span: Span) -> None:
    """Check that the container can hold all streams, before hours of work.

    Raises
    ------
    OutputError
        As `assemble`.
    """
    _try_picture(film, encoding)
    try:
        with (
            _open_source(film) as source,
            _open_target(io.BytesIO(), encoding, source, False) as target,
        ):
            _add_streams(target, film, encoding, source, span)
    except av.error.FFmpegError as error:
        raise OutputError(
            f"{encoding.container} cannot hold it: {error.strerror or error}",
            "use another format with -o, such as NAME.mkv",
        ) from error


def _try_picture(film: FilmReader, encoding: VideoEncoding) -> None:
    """Write a gray frame and read it back; raise OutputError if the container does not hold it."""
    memory = io.BytesIO()
    frame = av.VideoFrame(encoding.size.width, encoding.size.height, encoding.pixel_format)
    for plane in frame.planes:
        plane.update(bytes([128]) * plane.buffer_size)
    frame.pts, frame.time_base = 0, encoding.time_base
    encoder = encoding.open_encoder()
    try:
        with _open_target(memory, encoding, None, False) as target:
            stream = _add_picture_stream(target, encoding, film)
            target.start_encoding()
            for packet in (*encoder.encode(frame), *encoder.encode(None)):
                packet.stream, packet.dts = stream, packet.pts
                target.mux_one(packet)
    except av.error.FFmpegError as error:
        raise _cannot_hold_picture(encoding) from error
    if not can_read_back(memory, encoding.container, "video"):
        raise _cannot_hold_picture(encoding)


def _cannot_hold_picture(encoding: VideoEncoding) -> OutputError:
    return OutputError(
        f"{encoding.container} cannot hold its picture as {encoding.codec}",
        "leave --codec out, or use -o NAME.mkv",
    )


def _open_source(film: FilmReader) -> Any:
    """Open the source once more; a pipe, which is read only once, gives None."""
    return nullcontext() if film.is_pipe else film.open()


def _open_target(file: Any, encoding: VideoEncoding, source: Any, fast_start: bool) -> Any:
    """Open a container for writing, with the options that keep the source's times and tags."""
    options = {}
    if is_mov(encoding.container):
        options["video_track_timescale"] = str(encoding.time_base.denominator)
        flags = "+faststart" if fast_start else ""
        if source and not _MOV_TAGS.issuperset(read_tags(source)):
            flags += "+use_metadata_tags"
        if flags:
            options["movflags"] = flags
    if encoding.container == "mpegts":
        options["mpegts_copyts"] = "1"
    return av.open(file, "w", format=encoding.container, options=options)


def _add_streams(
    target: Any,
    film: FilmReader,
    encoding: VideoEncoding,
    source: Any,
    span: Span,
    provenance: Provenance | None = None,
) -> tuple[Any, OtherStreams | None]:
    """Add all streams and write the header. Return the new picture stream and the other ones."""
    stream = _add_picture_stream(target, encoding, film)
    others: OtherStreams | None = None
    tags = read_tags(source) if source else {}
    target.metadata.update(with_record(tags, encoding.container, provenance))
    if source:
        picture = film.find_picture_stream(source)
        stream.metadata.update(_read_picture_tags(source, picture))
        _shift_timecodes((target, stream), span, film)
        stream.disposition = picture.disposition
        others = OtherStreams(film, source, picture, encoding.container, span)
        others.add_to(target)
        _copy_chapters(source, target, span, film, encoding.container)
    target.start_encoding()
    return stream, others


def _add_picture_stream(target: Any, encoding: VideoEncoding, film: FilmReader) -> Any:
    try:
        stream = target.add_stream(encoding.codec, rate=encoding.rate)
    except ValueError as error:
        raise _cannot_hold_picture(encoding) from error
    encoding.configure(stream.codec_context)
    stream.time_base = encoding.time_base
    if film.info.matrix and not film.is_pipe:
        stream.set_display_matrix(film.info.matrix)
    return stream


def _read_picture_tags(source: Any, picture: Any) -> dict[str, str]:
    """Return the tags of the picture, with the name of the reel, which MOV keeps elsewhere."""
    reels = {s.metadata["reel_name"] for s in source.streams if "reel_name" in s.metadata}
    reel = {"reel_name": reels.pop()} if len(reels) == 1 else {}
    return reel | read_tags(picture)


def _shift_timecodes(holders: Iterable[Any], span: Span, film: FilmReader) -> None:
    """Move the time codes in the tags of the result to the begin of the span."""
    rate = film.info.rate
    for holder in holders:
        if "timecode" in holder.metadata and span.start:
            skipped = count_frames_before(span.start, rate)
            code = shift_timecode(holder.metadata["timecode"], skipped, rate)
            holder.metadata["timecode"] = code


def _copy_chapters(source: Any, target: Any, span: Span, film: FilmReader, container: str) -> None:
    """Copy the chapters of the span, cut to the span."""
    kept = []
    film_start = film.info.start
    # Time of the film's beginning in the result, if that has all of it; frames keep it.
    origin = film_start - (film.first_moment(container, span.start) - span.start)
    for chapter in source.chapters():
        base = chapter["time_base"]
        begin, end = (float(chapter[key] * base) - film_start for key in ("start", "end"))
        if not span.is_all:
            if end <= span.start or (span.end is not None and begin >= span.end):
                continue
            first = max(begin, span.start) - span.start + origin
            last = (end if span.end is None else min(end, span.end)) - span.start + origin
            chapter = chapter | {"start": round(first / base), "end": round(last / base)}
        kept.append(chapter)
    if kept:
        target.set_chapters(kept)


def _picture_end(film: FilmReader, source: Any, span: Span) -> float | None:
    """Return the time at which the last frame of the result ends, s, as MP4 and MOV know it.

    There, the duration of a frame is the time to the next one in the order of decoding. The
    duration of the film is right, if it has no other stream that may be longer.
    """
    if span.end is not None or source is None or "mov" not in source.format.name:
        return None
    if film.breaks_off:
        return None
    picture = film.find_picture_stream(source)
    if source.duration and not (source.streams.audio or source.streams.subtitles):
        return float(source.duration / av.time_base) - span.start
    ticks = (picture.start_time or 0) + (picture.duration or 0)
    return float(ticks * picture.time_base) - span.start


def _picture_packets(
    stream: Any, encoding: VideoEncoding, store: SegmentStore, end: float | None
) -> Iterator[tuple[float, int, Any]]:
    """Yield decoding time (s), 0 and packet of each encoded frame.

    The decoding times are computed anew, because each segment had an encoder of its own: the k-th
    packet is decoded at the time of the frame that is shown `delay` places earlier. Formats that
    begin at 0 would move the film by the times before that. In these, the first packets are decoded
    in quick succession.

    The durations are computed anew, too, because those of a source may be in the order of decoding:
    a frame lasts until the next one. The last one lasts until `end` (s), if that is known, else as
    long as in the source.
    """
    times = np.fromiter(store.read_times(), np.int64)
    order = np.argsort(times, kind="stable")
    displayed = times[order]
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    delay = int((np.arange(len(order)) - place).max(initial=0))
    from_zero = encoding.container in STARTS_AT_ZERO
    base: Fraction = encoding.time_base
    durations = np.diff(displayed, append=displayed[-1:])
    step = int(durations[:-1].min(initial=round(1 / (encoding.rate * base))))
    if end is not None:
        rest = round(end / base) - int(displayed[-1])
        durations[-1] = rest if rest > 0 else step
    for index, stored in enumerate(store.read_packets()):
        packet = av.Packet(stored.data)
        packet.stream, packet.time_base = stream, base
        packet.pts, packet.duration = stored.pts, int(durations[place[index]]) or stored.duration
        early = index - delay
        if early > 0 or (early == 0 and not from_zero):
            packet.dts = int(displayed[early])
        elif from_zero:
            packet.dts = int(displayed[0]) + index * max(step, 1) // (delay + 1)
        else:
            packet.dts = int(displayed[0]) + early * max(step, 1)
        packet.is_keyframe = stored.is_keyframe
        yield float(packet.dts * base), 0, packet
