"""Film in: containers, numbered pictures and raw frames, as frames with their times."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.error
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition

from recolor_cli.errors import InputError, UsageError
from recolor_cli.types import ImageSize

DEFAULT_RATE = Fraction(24)  # of numbered pictures and raw frames, which know none
_PATTERN = re.compile(r"%(0?\d*)d")
_Y4M = b"YUV4MPEG2"
_PROGRESSIVE, _TOP_FIRST, _BOTTOM_FIRST = 1, (2, 4), (3, 5)  # AVFieldOrder
_BACK = 5.0  # seconds before the place to go on from: what a frame there may refer to
_HINT = "check that it is whole and plays; ffmpeg -i FILE -c copy NEW.mkv mends some"
_HDR = {16: "PQ", 18: "HLG"}  # AVColorTransferCharacteristic


@dataclass(frozen=True, slots=True)
class RawFrames:
    """Frames without a header, as a pipe may bring them: their size and pixel format."""

    size: ImageSize
    pixel_format: str

    @classmethod
    def parse(cls, text: str) -> RawFrames:
        """Read ``640x480`` or ``640x480:gray``; without a format it is rgb24.

        Raises
        ------
        UsageError
            If it is neither, or there is no such format.
        """
        match = re.fullmatch(r"(\d{1,5})x(\d{1,5})(?::(\w+))?", text)
        if not match or not int(match[1]) or not int(match[2]):
            raise UsageError(f"--raw {text} is no size", "as in --raw 640x480:gray")
        pixel_format = match[3] or "rgb24"
        try:
            av.VideoFormat(pixel_format)
        except ValueError as error:
            advice = "ffmpeg -pix_fmts lists them: gray, yuv420p, rgb24"
            raise UsageError(f"there is no pixel format {pixel_format}", advice) from error
        return cls(ImageSize(int(match[2]), int(match[1])), pixel_format)


@dataclass(frozen=True, slots=True)
class FilmInfo:
    """What is known of a film before its frames are read.

    Parameters
    ----------
    size : ImageSize
        Of a frame as stored, px.
    pixel_format : str
    time_base : Fraction
        Seconds a tick.
    rate : Fraction
        Frames a second, on average.
    frames : int or None
        How many there are, as far as the file says.
    start : float
        Time of the film's beginning, s.
    pixel_aspect : Fraction or None
        Width of a pixel over its height, if that is said.
    matrix : tuple of int or None
        FFmpeg's display matrix, if the film is to be turned or mirrored.
    rotation : int
        Degrees against the clock by which a player turns it.
    interlaced : bool
    field_order : int
        AVFieldOrder.
    colors : tuple of int
        Primaries, transfer, matrix and range, as H.273 and FFmpeg number them.
    """

    size: ImageSize
    pixel_format: str
    time_base: Fraction
    rate: Fraction
    frames: int | None
    start: float
    pixel_aspect: Fraction | None
    matrix: tuple[int, ...] | None
    rotation: int
    interlaced: bool
    field_order: int
    colors: tuple[int, int, int, int]

    @property
    def top_first(self) -> bool:
        """Of interlaced film: whether the upper line comes first."""
        return self.field_order not in _BOTTOM_FIRST


class Film:
    """A film that is open for reading.

    Parameters
    ----------
    source : str
        A file, or a pattern of numbered pictures such as ``frames/%05d.png``.
    raw : RawFrames or None
        What comes from `pipe` without a header.
    rate : Fraction or None
        Frames a second, where the film does not say.
    pipe : BinaryIO or None
        Where to read from instead of the file: raw frames, or a YUV4MPEG2 stream.

    Raises
    ------
    InputError
        If it cannot be read, or has no moving picture.
    """

    def __init__(
        self,
        source: str,
        raw: RawFrames | None = None,
        rate: Fraction | None = None,
        pipe: BinaryIO | None = None,
    ) -> None:
        self.source = source
        self.is_sequence = is_pattern(source) and not os.path.exists(source)
        self.warnings: dict[str, None] = {}  # in order, each once
        self._pipe = pipe
        self._format: str | None = None
        self._options: dict[str, str] = {}
        self._rate = rate
        if raw:
            self._format = "rawvideo"
            self._options = {
                "video_size": str(raw.size),
                "pixel_format": raw.pixel_format,
                "framerate": str(rate or DEFAULT_RATE),
            }
        elif pipe:
            self._format = "yuv4mpegpipe"
        elif self.is_sequence:
            self._format = "image2"
            self._options = {
                "start_number": str(first_number(source)),
                "framerate": str(rate or DEFAULT_RATE),
            }
        self._container = self.open()
        self._bad_packets = 0
        self._late = 0  # ticks by which all frames are too late
        try:
            self.info = self._look()
        except BaseException:
            self.close()
            raise

    def open(self) -> Any:
        """Open the container once more, from its beginning; of a pipe there is just one."""
        try:
            return av.open(
                self._pipe or self.source,
                format=self._format,
                options=self._options,
                metadata_errors="replace",
            )
        except av.error.FFmpegError as error:
            raise _unreadable(error) from error
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", "check the name") from error

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()

    @property
    def is_pipe(self) -> bool:
        """Whether it can be read only once."""
        return self._pipe is not None

    def picture_stream(self, container: Any) -> Any:
        """Return the stream with the moving picture: the best one that is no cover."""
        moving = [s for s in container.streams.video if not is_cover(s)]
        if not moving:
            kinds = {"a cover" if is_cover(s) else s.type for s in container.streams}
            what = ", ".join(sorted(kinds)) or "text"
            raise InputError(
                f"it has no moving picture, only {what}", "recolor needs a film with a picture"
            )
        best = container.streams.best("video")
        return next((s for s in moving if best is not None and s.index == best.index), moving[0])

    def frames(self, after: int | None = None) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield the frames, each with its time in ticks, which strictly rises.

        Parameters
        ----------
        after : int or None
            Yield only what comes after this tick.

        Raises
        ------
        InputError
            If not one frame can be decoded.
        """
        if not self.is_pipe:
            self._container.close()
            self._container = self.open()
        container = self._container
        stream = self.picture_stream(container)
        stream.thread_type = "AUTO"
        if after is not None and self._has_times:
            self._go_before(container, stream, after)
        last: int | None = None
        count = 0
        clock = _Clock(container.format.name)
        step = max(1, round(1 / (self.info.rate * self.info.time_base)))
        for frame in self._decoded(container, stream):
            ticks = clock.time_of(frame)
            if ticks is None or not self._has_times:
                ticks = 0 if last is None else last + step
            ticks -= self._late
            if last is not None and ticks <= last:
                ticks = last + 1
            last = ticks
            count += 1
            if after is not None and ticks <= after:
                continue
            if (frame.height, frame.width) != (self.info.size.height, self.info.size.width):
                self.warnings["frames of another size were fitted to that of the first"] = None
                frame = frame.reformat(width=self.info.size.width, height=self.info.size.height)
            yield ticks, frame
        if self._bad_packets:
            self.warnings[f"{self._bad_packets} damaged parts could not be decoded"] = None
        if not count:
            raise InputError("not one frame of it can be decoded", _HINT)

    def _go_before(self, container: Any, stream: Any, after: int) -> None:
        """Go to a little before a tick, or stay at the beginning where that is not possible."""
        back = round(_BACK / self.info.time_base)
        try:
            container.seek(max(after - back, 0), stream=stream, backward=True)
        except av.error.FFmpegError:
            container.close()
            self._container = self.open()
            container = self._container

    def _decoded(self, container: Any, stream: Any) -> Iterator[av.VideoFrame]:
        """Yield what can be decoded; what is damaged is passed over and counted."""
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError):  # the file ends in the middle of something
                self._bad_packets += 1
                packet = None
            try:
                yield from stream.decode(packet)
            except av.error.EOFError:
                return
            except av.error.FFmpegError:
                self._bad_packets += 1
            if packet is None:
                return

    def _look(self) -> FilmInfo:
        """Find out what the film is like from its header and its first frame."""
        stream = self.picture_stream(self._container)
        context = stream.codec_context
        matrix: tuple[int, ...] | None = None
        rotation, interlaced = 0, False
        pixel_format = context.pix_fmt
        size = (context.height, context.width)
        colors = (context.color_primaries, context.color_trc, context.colorspace)
        color_range = context.color_range
        self._has_times = self._format != "rawvideo" and not self.is_sequence
        if not self.is_pipe:
            first = next(self._decoded(self._container, stream), None)
            if first is None:
                raise InputError("not one frame of it can be decoded", _HINT)
            if self._container.format.name == "avi":
                # Its frames are numbered; that a decoder gives the first one late is no time.
                self._late = (_Clock("avi").time_of(first) or 0) - (stream.start_time or 0)
            size, pixel_format = (first.height, first.width), first.format.name
            colors = (first.color_primaries, first.color_trc, first.colorspace)
            color_range = first.color_range
            interlaced, rotation = first.interlaced_frame, first.rotation
            self._has_times = self._has_times and (first.pts is not None or first.dts is not None)
            # Of this frame alone: PyAV crashes in make_writable of one whose side data was seen.
            side_data: Any = first.side_data
            for data in side_data:
                if data.type is SideDataType.DISPLAYMATRIX:
                    matrix = tuple(int(n) for n in np.frombuffer(bytes(data), np.int32))
        rate = stream.guessed_rate or stream.average_rate or self._rate or DEFAULT_RATE
        if not self._has_times and self._rate:
            rate = self._rate
        time_base = stream.time_base or 1 / rate
        start = float(stream.start_time * time_base) if stream.start_time else 0.0
        length = float(stream.duration * time_base) if stream.duration else None
        if length is None and self._container.duration:
            length = self._container.duration / av.time_base
        count = stream.frames or (round(length * rate) if length and length > 0 else None)
        order = context.field_order
        if color_trc := _HDR.get(colors[1]):
            message = f"its light is coded as {color_trc}, of which its color is guessed roughly"
            self.warnings[message] = None
        if not all(size):
            raise InputError("it does not say how large its frames are", _HINT)
        return FilmInfo(
            size=ImageSize(*size),
            pixel_format=pixel_format or "yuv420p",
            time_base=time_base,
            rate=Fraction(rate),
            frames=count,
            start=start,
            pixel_aspect=stream.sample_aspect_ratio or None,
            matrix=matrix,
            rotation=int(rotation),
            interlaced=bool(interlaced or order > _PROGRESSIVE),
            field_order=order,
            colors=(*colors, color_range),
        )


class _Clock:
    """Tells a frame's time from those of showing and decoding, whichever are in better order.

    As libavcodec guesses it (`best_effort_timestamp`), but AVI has only the order of decoding, and
    its times of showing are themselves a guess.
    """

    def __init__(self, container: str) -> None:
        self._last: list[int | None] = [None, None]
        self._faults = [int(container == "avi"), 0]

    def time_of(self, frame: av.VideoFrame) -> int | None:
        """Return the ticks of the next frame, if it has any."""
        shown, decoded = frame.pts, frame.dts
        for index, ticks in enumerate((shown, decoded)):
            last = self._last[index]
            if ticks is not None:
                self._faults[index] += last is not None and ticks <= last
                self._last[index] = ticks
        if shown is not None and (decoded is None or self._faults[0] <= self._faults[1]):
            return shown
        return decoded


def is_cover(stream: Any) -> bool:
    """Tell whether a stream is a picture that belongs to the film, not the film."""
    return bool(stream.disposition & Disposition.attached_pic)


def is_pattern(name: str) -> bool:
    """Tell whether a name stands for numbered pictures: ``frames/%05d.png``."""
    return len(_PATTERN.findall(name)) == 1


def numbered(pattern: str, number: int) -> str:
    """Return the name of one of the pictures that a pattern stands for."""
    return _PATTERN.sub(lambda match: f"%{match[1]}d" % number, pattern)


def first_number(pattern: str) -> int:
    """Return the number of the first picture that a pattern stands for.

    Raises
    ------
    InputError
        If there is none, or one is missing among them.
    """
    path = Path(pattern)
    if not is_pattern(path.name):
        raise InputError("the number belongs in the file's name", "as in frames/%05d.png")
    before, _, after = _PATTERN.split(path.name)
    match_name = re.compile(f"{re.escape(before)}(\\d+){re.escape(after)}")
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError as error:
        raise InputError(f"{path.parent} cannot be read: {error.strerror}", "check it") from error
    numbers = {
        int(match[1])
        for name in names
        if (match := match_name.fullmatch(name)) and numbered(path.name, int(match[1])) == name
    }
    if not numbers:
        raise InputError(f"no picture's name fits {path.name}", "check the pattern: %05d is 00001")
    first, last = min(numbers), max(numbers)
    if len(numbers) <= last - first:
        missing = next(n for n in range(first, last) if n not in numbers)
        raise InputError(
            f"{numbered(path.name, missing)} is missing among {len(numbers)} pictures",
            "number them without gaps",
        )
    return first


def begins_like_y4m(head: bytes) -> bool:
    """Tell whether bytes are the beginning of a YUV4MPEG2 stream."""
    return head.startswith(_Y4M)


def _unreadable(error: av.error.FFmpegError) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError("no such file", "check the name, and that the disk is there")
    if isinstance(error, PermissionError):
        return InputError("cannot be read: permission denied", "check its permissions")
    if isinstance(error, IsADirectoryError):
        return InputError("it is a folder", "name the films in it")
    reason = (error.strerror or str(error)).lower()
    return InputError(f"it is no film that can be read: {reason}", _HINT)
