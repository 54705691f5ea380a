"""The part of a film that is recolored."""

from __future__ import annotations

from dataclasses import dataclass

_DIGITS = 6  # of seconds


@dataclass(frozen=True, slots=True)
class Span:
    """The part of a film to keep, in seconds from its beginning.

    Times are compared to the microsecond: 2/3 s is meant by 0.666667, and a difference of two
    times may be a little less than it should.
    """

    start: float = 0.0
    end: float | None = None

    def holds(self, time: float) -> bool:
        """Tell whether a time lies in the span."""
        return round(time, _DIGITS) >= round(self.start, _DIGITS) and not self.is_before(time)

    def is_before(self, time: float) -> bool:
        """Tell whether the span has ended at a time."""
        return self.end is not None and round(time, _DIGITS) >= round(self.end, _DIGITS)

    @property
    def is_all(self) -> bool:
        """Whether the span is the whole film."""
        return self.start == 0 and self.end is None
