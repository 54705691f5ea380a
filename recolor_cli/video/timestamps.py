"""Choose the time of a frame from those that a container gives."""

from __future__ import annotations

import av


class TimestampChooser:
    """Choose between a frame's presentation and decoding time, as libavcodec does.

    The series with fewer disorders wins (`best_effort_timestamp`). For AVI, which stores only the
    decoding order, the presentation times are themselves a guess, so they start with one fault.
    """

    def __init__(self, container: str) -> None:
        self._last: list[int | None] = [None, None]
        self._faults = [int(container == "avi"), 0]

    def choose(self, frame: av.VideoFrame) -> int | None:
        """Return the ticks of the next frame, or None if it has no time."""
        pts, dts = frame.pts, frame.dts
        for index, ticks in enumerate((pts, dts)):
            last = self._last[index]
            if ticks is not None:
                self._faults[index] += last is not None and ticks <= last
                self._last[index] = ticks
        if pts is not None and (dts is None or self._faults[0] <= self._faults[1]):
            return pts
        return dts
