"""Join the clocks of films whose clock begins anew, as that of joined captures and DVDs does.

Each stretch with a clock of its own is moved behind the one before it. All streams of a stretch are
moved by the same time, so that picture and sound stay together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Any

from av.format import Flags

from recolor_cli.video.packets import readable_packets

_BACK = 1.0  # s; a time that goes back by more than this belongs to another clock
_AHEAD = 10.0  # s; so does a time that is ahead of all streams by more than this


@dataclass(frozen=True, slots=True)
class JoinedClock:
    """The stretches of a film.

    Parameters
    ----------
    offsets : tuple of float
        What is added to the times of each stretch, s; 0 for the first one.
    begins : dict of int to list of int
        By the index of a stream, the numbers of its packets with which the second stretch and all
        others begin.
    length : float
        Of the film, s.
    """

    offsets: tuple[float, ...] = (0.0,)
    begins: dict[int, list[int]] = field(default_factory=dict)
    length: float = 0.0

    @property
    def is_joined(self) -> bool:
        """Whether there is more than one stretch."""
        return len(self.offsets) > 1

    def offset_of_packet(self, stream: int, number: int) -> float:
        """Return what is added to the time of a packet, s, given its number within its stream."""
        stretch = sum(number >= begin for begin in self.begins.get(stream, ()))
        return self.offsets[stretch]


class FrameClock:
    """Follows the times of decoded frames through the stretches of a film.

    Parameters
    ----------
    clock : JoinedClock
    time_base : Fraction
        Seconds per tick.
    """

    def __init__(self, clock: JoinedClock, time_base: Fraction) -> None:
        self._offsets = [round(offset / time_base) for offset in clock.offsets]
        self._back, self._ahead = round(_BACK / time_base), round(_AHEAD / time_base)
        self._stretch = 0
        self._last: int | None = None

    def join(self, ticks: int) -> int:
        """Return the time of the next frame on the joined clock."""
        if self._last is not None and self._stretch + 1 < len(self._offsets):
            step = ticks - self._last
            self._stretch += step < -self._back or step > self._ahead
        self._last = ticks
        return ticks + self._offsets[self._stretch]


@dataclass(slots=True)
class _Stretch:
    """The first and the last moment of a stretch on its own clock, s."""

    start: float = float("inf")
    end: float = float("-inf")


def has_clocks(container: Any) -> bool:
    """Tell whether the clock of films in this format may begin anew."""
    return bool(container.format.flags & Flags.ts_discont.value)


def scan_clock(container: Any) -> JoinedClock:
    """Read the times of all packets of a container that is open at its beginning."""
    scan = _Scan()
    for packet in readable_packets(container):
        if packet.size:
            scan.add(packet)
    return scan.finish()


class _Scan:
    """Finds the stretches of a film."""

    def __init__(self) -> None:
        self._stretches = [_Stretch()]
        self._stretch_of: dict[int, int] = {}  # by the index of a stream
        self._last: dict[int, float] = {}
        self._counts: dict[int, int] = {}
        self._begins: dict[int, list[int]] = {}

    def add(self, packet: Any) -> None:
        """Add the next packet."""
        index, time = packet.stream_index, packet.dts if packet.dts is not None else packet.pts
        number = self._counts.get(index, 0)
        self._counts[index] = number + 1
        if time is None:
            return
        base = packet.time_base
        seconds = float(time * base)
        stretch, before = self._stretch_of.get(index, 0), self._last.get(index)
        if packet.stream.type not in ("video", "audio"):  # sparse, so that gaps mean nothing
            new = len(self._stretches) - 1
        else:
            new = stretch + (before is not None and self._begins_anew(seconds, before, stretch))
        self._begins.setdefault(index, []).extend([number] * (new - stretch))
        if new == len(self._stretches):
            self._stretches.append(_Stretch())
        self._stretch_of[index], self._last[index] = new, seconds
        if packet.stream.type in ("video", "audio"):
            shown = float(packet.pts * base) if packet.pts is not None else seconds
            known = self._stretches[new]
            known.start = min(known.start, shown)
            known.end = max(known.end, shown + float((packet.duration or 0) * base))

    def _begins_anew(self, seconds: float, before: float, stretch: int) -> bool:
        """Tell whether a time belongs to the stretch behind that of the time before it."""
        if seconds < before - _BACK:
            return True
        if seconds <= before + _AHEAD:
            return False
        return stretch + 1 < len(self._stretches) or seconds > self._stretches[stretch].end + _AHEAD

    def finish(self) -> JoinedClock:
        """Return the clock of all packets."""
        offsets = [0.0]
        for one, other in pairwise(self._stretches):
            offsets.append(offsets[-1] + one.end - other.start)
        first, last = self._stretches[0], self._stretches[-1]
        return JoinedClock(tuple(offsets), self._begins, last.end + offsets[-1] - first.start)
