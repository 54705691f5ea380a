"""Move the time code of a film: SMPTE time codes as text, with and without drop frames."""

from __future__ import annotations

import re
from fractions import Fraction

_FORM = re.compile(r"(\d\d):(\d\d):(\d\d)([:;.])(\d\d)")


def shift_timecode(text: str, frames: int, rate: Fraction) -> str:
    """Return the time code of a frame that comes so many frames later.

    Parameters
    ----------
    text : str
        ``HH:MM:SS:FF``. A semicolon or a dot before the frames means drop frames: of each minute
        but each tenth, the numbers of the first two frames (at 30 a second) are left out.
    frames : int
    rate : Fraction
        Frames a second.

    Returns
    -------
    str
        The text unchanged if it has another form.

    Examples
    --------
    >>> shift_timecode("01:02:03:04", 25, Fraction(25))
    '01:02:04:04'
    >>> shift_timecode("00:00:59;29", 1, Fraction(30000, 1001))
    '00:01:00;02'
    """
    match = _FORM.fullmatch(text.strip())
    if not match:
        return text
    hours, minutes, seconds, frame = (int(match[group]) for group in (1, 2, 3, 5))
    base = round(rate)
    dropped = base // 15 if match[4] != ":" else 0  # frame numbers a minute
    total = ((hours * 60 + minutes) * 60 + seconds) * base + frame
    whole_minutes = hours * 60 + minutes
    count = total - dropped * (whole_minutes - whole_minutes // 10) + frames
    if dropped:
        tens, rest = divmod(count, 600 * base - 9 * dropped)
        count += 9 * dropped * tens
        count += dropped * max(0, (rest - dropped) // (60 * base - dropped))
    frame, seconds = count % base, count // base
    return (
        f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        f"{match[4]}{frame:02d}"
    )
