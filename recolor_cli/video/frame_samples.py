"""Take frames from all parts of a film, without decoding all of it where that can be avoided."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import av
import av.error

from recolor_cli.video.film_options import Span
from recolor_cli.video.film_reader import FilmReader

_Sample = TypeVar("_Sample")

# Frames. A shorter part is decoded as a whole, because it may have only a few key frames to seek.
_SHORT = 1500


def sample_frames(
    film: FilmReader, span: Span, count: int, convert: Callable[[av.VideoFrame], _Sample]
) -> list[_Sample]:
    """Return about `count` frames that are spread evenly over a part of a film.

    Parameters
    ----------
    film : FilmReader
        Not a pipe.
    span : Span
    count : int
        The result has up to twice as many, and fewer if the part is shorter.
    convert : callable
        Called with each of these frames; its results are returned.

    Raises
    ------
    InputError
        If no frame can be decoded.
    """
    info = film.info
    if info.frames is not None and not film.clock.is_joined:
        end = float(info.frames / info.rate)
        if span.end is not None:
            end = min(end, span.end)
        if (end - span.start) * info.rate > _SHORT:
            found = _seek_frames(film, span.start, end, count, convert)
            if found:
                return found
    return _thin_frames(_frames_of(film, span), count, convert)


def _seek_frames(
    film: FilmReader,
    start: float,
    end: float,
    count: int,
    convert: Callable[[av.VideoFrame], _Sample],
) -> list[_Sample]:
    """Return the key frames before evenly spaced moments; none if the film cannot seek."""
    found = {}
    with film.open() as container:
        stream = film.find_picture_stream(container)
        stream.thread_type = "AUTO"
        for index in range(count):
            moment = film.info.start + start + (index + 0.5) / count * (end - start)
            try:
                ticks = round(moment / film.info.time_base)
                container.seek(ticks, stream=stream, backward=True)
            except av.error.FFmpegError:
                return []
            frame = next(film.decode(container, stream), None)
            if frame is not None and frame.pts not in found:
                found[frame.pts] = convert(film.fit_size(frame))
    return list(found.values())


def _frames_of(film: FilmReader, span: Span) -> Iterable[av.VideoFrame]:
    base = film.info.time_base
    after = round((span.start + film.info.start) / base) - 1 if span.start else None
    for ticks, frame in film.frames(after):
        if span.end is not None and ticks * base - film.info.start >= span.end:
            return
        yield frame


def _thin_frames(
    frames: Iterable[av.VideoFrame], count: int, convert: Callable[[av.VideoFrame], _Sample]
) -> list[_Sample]:
    """Return each n-th frame, where n is such that `count` to twice as many are left."""
    found: list[_Sample] = []
    step = 1
    for number, frame in enumerate(frames):
        if number % step == 0:
            found.append(convert(frame))
        if len(found) == 2 * count:
            found, step = found[::2], 2 * step
    return found
