"""Decode a film into frames with times: containers, numbered pictures and raw frames."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.error
from av.stream import Disposition

from recolor_cli.errors import InputError
from recolor_cli.image.film_names import is_sequence
from recolor_cli.system.files import check_readable
from recolor_cli.system.texts import counted
from recolor_cli.types import ImageSize
from recolor_cli.video.clock import FrameClock, JoinedClock, has_clocks, scan_clock
from recolor_cli.video.declared_end import count_missing_bytes, read_declared_end
from recolor_cli.video.film_info import FilmInfo
from recolor_cli.video.frames import convert_frame
from recolor_cli.video.image_sequence import (
    DEFAULT_RATE,
    escape_pattern,
    find_whole_sequence,
    format_frame_path,
)
from recolor_cli.video.open_errors import REPAIR_ADVICE, make_open_error
from recolor_cli.video.raw_frames import RawFrames
from recolor_cli.video.side_data import Hdr10Metadata, read_side_data
from recolor_cli.video.timestamps import TimestampChooser

_PROGRESSIVE = 1  # AVFieldOrder
# Seconds to seek before the resumed frame. The frames that it refers to lie in between.
_SEEK_MARGIN = 5.0
_MOST_WITHOUT_TIME = 100  # frames that may come before the first one that has a time
_MISSING = 2.0  # s that may lack without a warning: sound may end so much later than the picture
_HDR = {16: "PQ", 18: "HLG"}  # AVColorTransferCharacteristic


class FilmReader:
    """A film that is open for reading.

    Parameters
    ----------
    source : str
        A file, or a pattern of numbered pictures such as ``frames/%05d.png``.
    raw : RawFrames or None
        Layout of the frames in `pipe`, if they have no header.
    rate : Fraction or None
        Frames per second, for sources that declare none.
    pipe : BinaryIO or None
        Stream to read instead of the file: raw frames or YUV4MPEG2.
    is_copy : bool
        Whether the file is a temporary copy, whose permissions are not those of the film.

    Raises
    ------
    InputError
        If the source cannot be read or has no moving picture.
    """

    def __init__(
        self,
        source: str,
        raw: RawFrames | None = None,
        rate: Fraction | None = None,
        pipe: BinaryIO | None = None,
        is_copy: bool = False,
    ) -> None:
        self.source = source
        self.is_copy = is_copy
        self.is_sequence = pipe is None and is_sequence(source)
        self.warnings: dict[str, None] = {}  # an ordered set
        self._pipe = pipe
        self.pictures = find_whole_sequence(source) if self.is_sequence else {}
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
                "start_number": str(min(self.pictures)),
                "framerate": str(rate or DEFAULT_RATE),
                "pattern_type": "sequence",
            }
        self._container = self.open()
        self.clock = JoinedClock()
        self.breaks_off = False  # whether it ended before its header says, once it was read
        self._bad_packets = 0
        self._delay = 0  # ticks to subtract from all times
        self._has_times = self._format != "rawvideo" and not self.is_sequence
        # Matroska gives packets before its moment 0 no time: the first frame that has one, in
        # ticks, and how many come before it.
        self._first_time, self._frames_before = 0, 0
        try:
            if pipe is None and has_clocks(self._container):
                with self.open() as container:
                    self.clock = scan_clock(container)
            self.info = self._probe()
        except BaseException:
            self.close()
            raise

    def open(self) -> Any:
        """Open the container again at its beginning. A pipe cannot be opened twice."""
        # Without the name of a protocol, FFmpeg takes what precedes a colon in the name for one.
        name = "file:" + (escape_pattern(self.source) if self.is_sequence else self.source)
        try:
            return av.open(
                self._pipe or name,
                format=self._format,
                # The clock that goes round is joined by `JoinedClock`, like one that begins anew.
                options={"correct_ts_overflow": "0", **self._options},
                metadata_errors="replace",
            )
        except av.error.FFmpegError as error:
            raise make_open_error(error, self.source) from error
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", "check the name") from error

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def first_moment(self, container: str, start: float) -> float:
        """Return the source's time that is 0 in a result of this format, s; `start` is its span's.

        Streams for broadcast begin at any time. Their times are kept in MPEG-TS; in other formats
        they would lengthen the film. A picture that begins before 0 begins at 0 in all formats,
        because MP4 would cut that off.
        """
        origin: int = self._container.start_time or 0
        begins_anywhere = has_clocks(self._container) and container != "mpegts"
        return start + (origin / av.time_base if begins_anywhere else min(self.info.start, 0))

    @property
    def is_pipe(self) -> bool:
        """Whether the source can be read only once."""
        return self._pipe is not None

    def find_picture_stream(self, container: Any) -> Any:
        """Return the stream of the moving picture: FFmpeg's best one that is not a cover."""
        moving = [s for s in container.streams.video if not is_cover(s)]
        if not moving:
            kinds = {"a cover" if is_cover(s) else s.type for s in container.streams}
            what = ", ".join(sorted(kinds)) or "text"
            raise InputError(f"it has no moving picture, only {what}", "name a film with a picture")
        best = container.streams.best("video")
        return next((s for s in moving if best is not None and s.index == best.index), moving[0])

    def frames(self, after: int | None = None) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield the frames, each with its time in ticks. The times strictly increase.

        Parameters
        ----------
        after : int or None
            Yield only frames later than this tick.

        Raises
        ------
        InputError
            If no frame can be decoded, or the disk fails.
        """
        stream = self._start_decoding(after)
        self._bad_packets = 0
        last: int | None = None
        count = shown = 0
        timestamps = TimestampChooser(self._container.format.name)
        clock = FrameClock(self.clock, self.info.time_base)
        step = max(1, round(1 / (self.info.rate * self.info.time_base)))
        begin = self._first_time - self._frames_before * step
        for frame in self.decode(self._container, stream):
            ticks = timestamps.choose(frame)
            if ticks is None or not (self._has_times or self.is_sequence):
                ticks = begin if last is None else last + step
            ticks = clock.join(ticks - self._delay)
            if last is not None and ticks <= last:
                ticks = last + 1
            if self.is_sequence:
                self._warn_of_gap(0 if last is None else last + step, ticks, step)
            last, shown = ticks, frame.duration or 0
            count += 1
            if after is not None and ticks <= after:
                continue
            yield ticks, self.fit_size(frame)
        if last is not None:
            try:
                self._check_end(stream, last + max(step, shown))
            except OSError:  # `_check_disk` says why
                self.breaks_off = True
        if (self._bad_packets or self.breaks_off) and not self.is_pipe:
            self._check_disk()
        if self._bad_packets and not self.is_sequence:
            damaged = counted(self._bad_packets, "damaged part")
            self.warnings[f"{damaged} could not be decoded"] = None
        if not count:
            raise InputError("not one of its frames can be decoded", REPAIR_ADVICE)

    def _warn_of_gap(self, wanted: int, found: int, step: int) -> None:
        """Name the numbered pictures that no frame came of; the others keep their numbers."""
        first = min(self.pictures)
        for number in range(first + wanted // step, first + found // step):
            name = format_frame_path(self.source, number)
            self.warnings[f"{name} cannot be decoded, and is left out"] = None

    def fit_size(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return a frame in the size of the first one."""
        size = self.info.size
        if (frame.height, frame.width) == (size.height, size.width):
            return frame
        self.warnings["frames of another size were scaled to the size of the first"] = None
        return convert_frame(frame, width=size.width, height=size.height)

    def _start_decoding(self, after: int | None) -> Any:
        """Return the picture stream of a fresh container that stands a little before a tick.

        A pipe, a source without times and a container whose seek fails start at their beginning,
        and so does a film whose beginning is near.
        """
        if not self.is_pipe:
            self._reopen()
            if after is not None and self._has_times and not self.clock.is_joined:
                self._seek(after - round(_SEEK_MARGIN / self.info.time_base))
        stream = self.find_picture_stream(self._container)
        stream.thread_type = "AUTO"
        return stream

    def _seek(self, place: int) -> None:
        """Go to the last key frame up to a tick, if that lies behind the first frame."""
        if place <= self._first_time:
            return
        stream = self.find_picture_stream(self._container)
        try:
            self._container.seek(place, stream=stream, backward=True)
        except av.error.FFmpegError:  # the position is now undefined
            self._reopen()

    def _check_end(self, stream: Any, end: int) -> None:
        """Warn if the film ends at this tick, before its header says. Raw streams have none."""
        if self.clock.is_joined or not self._has_times:
            return
        path = None if self.is_pipe else Path(self.source)
        declared = read_declared_end(self._container, stream, path)
        found = float(end * self.info.time_base)
        if declared is not None and declared - found > _MISSING:
            self.breaks_off = True
            self.warnings[
                f"it ends after {found - self.info.start:.1f} s, but its header says "
                f"{declared - self.info.start:.1f} s; the rest is missing"
            ] = None
        elif path and (missing := count_missing_bytes(path)):
            self.breaks_off = True
            self.warnings[
                f"it ends after {found - self.info.start:.1f} s, where the file is cut off; "
                f"{missing} bytes or more are missing"
            ] = None

    def _check_disk(self) -> None:
        """Raise InputError if the disk fails, which FFmpeg reports as damage or as the end."""
        if not self.is_sequence:
            check_readable(Path(self.source))
        for number in self.pictures:
            check_readable(format_frame_path(self.source, number))

    def _reopen(self) -> None:
        self._container.close()
        self._container = self.open()

    def decode(self, container: Any, stream: Any) -> Iterator[av.VideoFrame]:
        """Yield the frames that can be decoded. Skip damaged packets and count them."""
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError):  # the file is truncated, or its disk fails
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

    def _probe(self) -> FilmInfo:
        """Read the film's properties from the header and, except for a pipe, the first frame."""
        stream = self.find_picture_stream(self._container)
        context = stream.codec_context
        if context is None:
            raise InputError(
                "its picture is in a codec that cannot be decoded",
                "convert it first with a program that plays it",
            )
        first = None if self.is_pipe else self._decode_first_frame(stream)
        described: Any = context if first is None else first  # the frame overrides the header
        size = (described.height, described.width)
        colors = (described.color_primaries, described.color_trc, described.colorspace)
        if hdr := _HDR.get(colors[1]):
            self.warnings[f"its light is coded as {hdr}, so its colors are only rough"] = None
        if not all(size):
            raise InputError("it does not declare the size of its frames", REPAIR_ADVICE)
        rate = stream.guessed_rate or stream.average_rate or self._rate or DEFAULT_RATE
        if not self._has_times and self._rate:
            rate = self._rate
        if self._rate and rate != self._rate:
            declared = f"it declares {float(rate):g} frames a second"
            self.warnings[f"{declared}, so --rate does not count"] = None
        time_base = stream.time_base or 1 / rate
        length = float(stream.duration * time_base) if stream.duration else None
        if self.clock.is_joined:
            length = self.clock.length
        elif length is None and self._container.duration:
            length = self._container.duration / av.time_base
        pixel_format = context.pix_fmt if first is None else first.format.name
        start = float((stream.start_time or 0) * time_base)
        if self._frames_before:
            start = float(self._first_time * time_base - self._frames_before / Fraction(rate))
        order = context.field_order
        matrix, hdr10 = (None, Hdr10Metadata()) if first is None else read_side_data(first)
        return FilmInfo(
            size=ImageSize(*size),
            pixel_format=pixel_format or "yuv420p",
            time_base=time_base,
            rate=Fraction(rate),
            frames=stream.frames or (round(length * rate) if length and length > 0 else None),
            start=start,
            pixel_aspect=stream.sample_aspect_ratio or None,
            matrix=matrix,
            rotation=0 if first is None else int(first.rotation),
            interlaced=bool((first is not None and first.interlaced_frame) or order > _PROGRESSIVE),
            field_order=order,
            colors=(*colors, described.color_range),
            codec=context.codec.canonical_name,
            hdr10=hdr10,
        )

    def _decode_first_frame(self, stream: Any) -> av.VideoFrame:
        """Return the first frame, and learn from it how far the film's times can be trusted."""
        frames = self.decode(self._container, stream)
        first = next(frames, None)
        if first is None:
            raise InputError("not one of its frames can be decoded", REPAIR_ADVICE)
        if self._container.format.name == "avi":
            # AVI numbers its frames. The decoder's delay before the first one is not a time.
            self._delay = (TimestampChooser("avi").choose(first) or 0) - (stream.start_time or 0)
        if not self._has_times or first.pts is not None or first.dts is not None:
            return first
        self._has_times = False
        for number, frame in enumerate(islice(frames, _MOST_WITHOUT_TIME), 1):
            ticks = TimestampChooser(self._container.format.name).choose(frame)
            if ticks is not None:
                self._has_times, self._first_time, self._frames_before = True, ticks, number
                break
        return first


def is_cover(stream: Any) -> bool:
    """Tell whether a stream is a cover picture, not the film."""
    return bool(stream.disposition & Disposition.attached_pic)
