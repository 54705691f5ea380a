"""Encode painted frames in segments, each with an encoder of its own, so that a run can resume."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from typing import BinaryIO

import av
import av.error

from recolor_cli.errors import OutputError
from recolor_cli.video.encoding import VideoEncoding
from recolor_cli.video.pipeline import FramePipeline, PipelineFrame
from recolor_cli.video.segment_store import SEGMENT, FilmProgress, SegmentStore, StoredPacket


def encode_segments(
    pipeline: FramePipeline,
    encoding: VideoEncoding,
    store: SegmentStore,
    advance: Callable[[int], None],
    stop: threading.Event,
) -> None:
    """Encode the frames that the store does not hold yet, segment by segment.

    Call `advance` with 1 after each frame. Once `stop` is set, finish the current segment early.
    """
    done = store.progress
    if done.frames:
        pipeline.restore(done.state, done.cuts)
    items = pipeline.frames(done.last, encoding.pixel_format)
    first = pipeline.film.first_moment(encoding.container, pipeline.options.span.start)
    shift = round(first / pipeline.film.info.time_base)
    try:
        while not stop.is_set():
            segment = _SegmentEncoder(encoding, store, shift)
            try:
                for item in islice(items, SEGMENT):
                    segment.add(item)
                    advance(1)
                    if stop.is_set():
                        break
                if not segment.frames:
                    return
                segment.commit()
            finally:
                segment.close()
    finally:
        items.close()  # type: ignore[attr-defined]


class _SegmentEncoder:
    """The encoder of one segment, which begins `shift` ticks later in the film than in the result.

    A tick is as long in the result as in the film.
    """

    def __init__(self, encoding: VideoEncoding, store: SegmentStore, shift: int) -> None:
        self._encoder = encoding.open_encoder()
        self._store = store
        self._file: BinaryIO = store.new_segment()
        self._time_base, self._shift = encoding.time_base, shift
        self._durations: dict[int, int] = {}
        self._done = store.progress
        self._last: PipelineFrame | None = None
        self.frames = 0

    def add(self, item: PipelineFrame) -> None:
        """Encode one frame."""
        frame = item.frame
        ticks = item.ticks - self._shift
        self._durations[ticks] = max(frame.duration, 0)
        frame.pts, frame.time_base = ticks, self._time_base
        self._last = item
        self.frames += 1
        self._encode(frame)

    def _encode(self, frame: av.VideoFrame | None) -> None:
        """Pass a frame, or None at the end, to the encoder, and store the packets it returns."""
        try:
            packets = self._encoder.encode(frame)
        except av.error.FFmpegError as error:
            raise OutputError(
                f"a frame cannot be encoded: {error.strerror or error}", "try another --codec"
            ) from error
        for packet in packets:
            duration = self._durations.pop(packet.pts, 0)
            stored = StoredPacket(packet.pts, duration, packet.is_keyframe, bytes(packet))
            self._store.write(self._file, stored)

    def commit(self) -> None:
        """Flush the encoder and count the segment as finished."""
        assert self._last is not None
        self._encode(None)
        progress = FilmProgress(
            segments=self._done.segments + 1,
            frames=self._done.frames + self.frames,
            cuts=self._last.cuts,
            last=self._last.ticks,
            state=self._last.state,
        )
        self._store.commit(self._file, progress)

    def close(self) -> None:
        """Close the file of the segment."""
        with suppress(OSError):  # a failed write was reported already
            self._file.close()
