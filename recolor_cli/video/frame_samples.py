"""Take the frames of a span from a film: all, or some that are spread evenly over it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import av
import av.error

from recolor_cli.video.film_reader import FilmReader
from recolor_cli.video.span import Span

_Sample = TypeVar("_Sample")

# Frames. A shorter part is decoded as a whole, because it may have only a few key frames to seek.
_SHORT = 1500


def frames_in_span(
    film: FilmReader, span: Span, after: int | None = None
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield the frames of a span later than the tick `after`, each with its time in ticks."""
    base, film_start = film.info.time_base, film.info.start
    if after is None and span.start:
        after = math.floor((span.start + film_start) / base) - 1
    for ticks, frame in film.frames(after):
        moment = float(ticks * base) - film_start
        if span.is_before(moment):
            return
        if span.is_all or span.holds(moment):
            yield ticks, frame


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
    return _thin_frames((frame for _, frame in frames_in_span(film, span)), count, convert)


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
