"""Recolor one film: resume earlier work, encode the rest, and write the result."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import av

from recolor_cli.errors import InputError
from recolor_cli.model.color_network import ColorNetwork
from recolor_cli.recolorizer import check_size
from recolor_cli.system.device import cpu_count
from recolor_cli.system.files import mount_point, write_atomic, write_error, writing
from recolor_cli.system.memory import MemoryBudget, memory_for_pictures
from recolor_cli.system.temporary_files import remove_leftovers
from recolor_cli.terminal.streams import write_stdout
from recolor_cli.video.containers import HOLD_ROTATION, SEQUENCE
from recolor_cli.video.encoding import VideoEncoding, choose_encoding
from recolor_cli.video.film_options import FilmOptions, FilmReport
from recolor_cli.video.film_reader import FilmReader
from recolor_cli.video.fingerprint import compute_fingerprint
from recolor_cli.video.image_sequence import first_result_number, format_frame_path
from recolor_cli.video.muxing import Stopped, assemble, check_streams
from recolor_cli.video.pipeline import FramePipeline
from recolor_cli.video.segment_encoder import encode_segments
from recolor_cli.video.segment_store import SegmentStore, discard_segments
from recolor_cli.video.y4m import format_y4m_header, write_y4m_frame

# Frames in memory, in the result's pixel format. Two CPUs held 172 of 1920 x 1080 with H.264, 168
# with HEVC, and 56 with FFV1.
_FRAMES_AT_WORK = 40
_FRAMES_PER_CPU = 10
_FRAMES_AHEAD = 110  # which some encoders hold
_LOOK_AHEAD = ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "libaom-av1")


def recolor_film(
    film: FilmReader,
    destination: str,
    network: ColorNetwork,
    options: FilmOptions,
    advance: Callable[[int], None] = lambda count: None,
    stop: threading.Event | None = None,
) -> FilmReport:
    """Recolor a film.

    Parameters
    ----------
    film : FilmReader
    destination : str
        A file, a pattern of numbered pictures, or ``-`` for a YUV4MPEG2 stream to standard output.
    network : ColorNetwork
    options : FilmOptions
    advance : callable
        Called with the number of frames that were finished since the last call.
    stop : threading.Event or None
        Once set, the frames on their way are finished and kept for the next run.

    Raises
    ------
    InputError
        If the film cannot be decoded, has no frame in the span, or a mask or still does not fit.
    OutputError
        If the result cannot be written.
    InferenceError
        If the network fails.
    UsageError
        If the film cannot be encoded with these options.
    """
    stop = stop or threading.Event()
    check_size(film.info.size)
    options.check_fit(film.info.displayed)
    pipeline = FramePipeline(film, network, options)
    encoding, warnings = choose_encoding(
        film.info, pipeline.coding, destination, options.encoding, options.preview
    )
    if film.info.rotation and encoding.container not in HOLD_ROTATION:
        warnings.append(
            f"players turn the film by {abs(film.info.rotation)} degrees, which this format cannot "
            "tell them; a file such as -o NAME.mkv does"
        )
    _check_memory(encoding)
    report = FilmReport(warnings=warnings)
    if destination == "-":
        _write_stream(pipeline, encoding, report, advance, stop)
    else:
        _write_result(pipeline, encoding, Path(destination), report, advance, stop)
    report.warnings += film.warnings
    return report


def _check_memory(encoding: VideoEncoding) -> None:
    """Raise InputError if the film needs more memory than is free: FFmpeg may crash without it."""
    layout = av.VideoFormat(encoding.pixel_format, encoding.size.width, encoding.size.height)
    frame = layout.padded_bits_per_pixel * encoding.size.width * encoding.size.height // 8
    frames = _FRAMES_PER_CPU * cpu_count()
    frames += _FRAMES_AT_WORK + (encoding.codec in _LOOK_AHEAD) * _FRAMES_AHEAD
    MemoryBudget(memory_for_pictures()).acquire(frame * frames)


def _write_result(
    pipeline: FramePipeline,
    encoding: VideoEncoding,
    destination: Path,
    report: FilmReport,
    advance: Callable[[int], None],
    stop: threading.Event,
) -> None:
    """Encode the film in segments, then put them together."""
    film, options = pipeline.film, pipeline.options
    encoding.open_encoder()  # fail before anything is written
    if encoding.container != SEQUENCE:
        check_streams(film, encoding, options.span)
    remove_leftovers(destination.parent)
    mount = mount_point(destination)
    store = SegmentStore(
        destination, compute_fingerprint(film, pipeline.manifest, options, encoding)
    )
    try:
        report.resumed = report.frames = store.progress.frames
        advance(report.resumed)
        encode_segments(pipeline, encoding, store, advance, stop)
        report.frames, report.cuts = store.progress.frames, store.progress.cuts
        if stop.is_set():
            report.interrupted = True
            return
        if not report.frames:
            raise _empty_span()
        if encoding.container == SEQUENCE:
            times = list(store.read_times())
            first = first_result_number(film.pictures, options.start, film.info.rate)
            numbers: Iterable[int] = range(first, first + len(times))
            if film.is_sequence:  # a picture that was left out leaves its number free
                step = film.info.rate * film.info.time_base
                numbers = [first + round((ticks - times[0]) * step) for ticks in times]
            report.warnings += _write_pictures(store, destination, numbers, stop)
            report.warnings += _describe_lost_times(
                film, encoding, max(times) - min(times), len(times)
            )
        else:
            is_own = not (film.is_pipe or film.is_sequence or film.is_copy)
            like = os.stat(film.source) if is_own else None
            with writing(destination, like, mount=mount, own_folder=store.folder) as file:
                path = Path(file.name)
                report.warnings += assemble(
                    film, encoding, store, options.span, path, stop, options.provenance
                )
        store.remove()
    except Stopped:
        report.interrupted = True
    finally:
        store.close()


def clean_up(destination: Path, result: Path) -> None:
    """Remove what killed runs have left beside a finished result; see `discard_segments`."""
    discard_segments(destination, result)
    remove_leftovers(destination.parent)


def _write_pictures(
    store: SegmentStore, pattern: Path, numbers: Iterable[int], stop: threading.Event
) -> list[str]:
    """Write the packets as numbered pictures.

    The first one is written last: once it is there, all are. That of an earlier result is removed
    before. Return a warning if pictures of an earlier, longer result follow.
    """
    pictures = zip(numbers, store.read_packets(), strict=True)
    first, first_packet = next(pictures)
    try:
        format_frame_path(pattern, first).unlink(missing_ok=True)
    except OSError as error:
        raise write_error(format_frame_path(pattern, first), error) from error
    number = first
    for number, packet in pictures:
        if stop.is_set():
            raise Stopped
        write_atomic(format_frame_path(pattern, number), packet.data)
    write_atomic(format_frame_path(pattern, first), first_packet.data)
    behind = format_frame_path(pattern, number + 1)
    if not os.path.lexists(behind):
        return []
    return [f"{behind} is of an earlier run, as may be those after it; remove them"]


def _write_stream(
    pipeline: FramePipeline,
    encoding: VideoEncoding,
    report: FilmReport,
    advance: Callable[[int], None],
    stop: threading.Event,
) -> None:
    """Write the frames to standard output as soon as they are painted."""
    items = pipeline.frames(None, encoding.pixel_format)
    first = last = 0
    try:
        for item in items:
            last = item.ticks
            if not report.frames:
                first = last
                write_stdout(format_y4m_header(encoding, pipeline.film.info))
            write_y4m_frame(item.frame)
            report.frames += 1
            advance(1)
            if stop.is_set():
                report.interrupted = True
                return
    finally:
        items.close()  # type: ignore[attr-defined]
    report.cuts = pipeline.smoother.cuts
    if not report.frames:
        raise _empty_span()
    report.warnings += _describe_lost_times(pipeline.film, encoding, last - first, report.frames)


def _describe_lost_times(
    film: FilmReader, encoding: VideoEncoding, ticks: int, frames: int
) -> list[str]:
    """Return a warning if frames in even steps last longer or shorter than in the film."""
    step = float(1 / encoding.rate)
    length = float(ticks * film.info.time_base)
    if abs(length - (frames - 1) * step) <= 2 * step:
        return []
    return [
        f"its {frames} frames last {length + step:.2f} s in uneven steps, and "
        f"{frames * step:.2f} s at {float(encoding.rate):g} a second; "
        "a file such as -o NAME.mkv keeps their times"
    ]


def _empty_span() -> InputError:
    return InputError("no frame of it lies in the span", "see --start and --duration")
