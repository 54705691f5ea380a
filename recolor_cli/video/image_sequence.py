"""Numbered pictures as a film: patterns such as ``frames/%05d.png`` and the files they name."""

from __future__ import annotations

import math
import os
import re
from fractions import Fraction
from pathlib import Path

from recolor_cli.errors import InputError
from recolor_cli.image.film_names import NUMBER, is_sequence
from recolor_cli.system.texts import counted
from recolor_cli.video.span import Span

DEFAULT_RATE = Fraction(24)  # frames a second; for numbered pictures and raw frames


def format_frame_name(name: str, number: int) -> str:
    """Return the file name of one numbered picture of a pattern, both without a folder."""
    return NUMBER.sub(lambda match: match[0] % number, name)


def format_frame_path(pattern: str | Path, number: int) -> Path:
    """Return the path of one numbered picture of a pattern."""
    path = Path(pattern)
    return path.with_name(format_frame_name(path.name, number))


def escape_pattern(pattern: str) -> str:
    """Return a pattern as FFmpeg writes it: each % that does not begin the number is doubled."""
    path = Path(pattern)
    before, after = NUMBER.split(path.name)
    number = path.name[len(before) : len(path.name) - len(after)]
    folder = pattern[: len(pattern) - len(path.name)]
    return f"{folder}{before}".replace("%", "%%") + number + after.replace("%", "%%")


def find_first_number(pattern: str) -> int:
    """Return the lowest number among the pictures that match a pattern.

    Raises
    ------
    InputError
        If no picture matches, a number is missing between the lowest and the highest, or a file
        is empty, which FFmpeg would take for the end.
    """
    path = Path(pattern)
    numbers = find_pictures(pattern)
    if not numbers:
        raise InputError(
            f"no picture is named like {path.name}", "check the pattern: %05d stands for 00001"
        )
    first, last = min(numbers), max(numbers)
    if len(numbers) <= last - first:
        missing = next(n for n in range(first, last) if n not in numbers)
        raise InputError(
            f"{format_frame_name(path.name, missing)} is missing "
            f"among {counted(len(numbers), 'picture')}",
            "number them without gaps",
        )
    empty = [number for number, status in numbers.items() if not status.st_size]
    if empty:
        raise InputError(
            f"{format_frame_name(path.name, min(empty))} is empty",
            "replace it, by a copy of the one before for example",
        )
    return first


def find_pictures(pattern: str) -> dict[int, os.stat_result]:
    """Return the numbers of the pictures that match a pattern, with the status of their files.

    Raises
    ------
    InputError
        If the folder cannot be read.
    """
    path = Path(pattern)
    before, after = NUMBER.split(path.name)
    with_number = re.compile(f"{re.escape(before)}(\\d+){re.escape(after)}")
    try:
        return {
            int(match[1]): entry.stat()
            for entry in path.parent.iterdir()
            if (match := with_number.fullmatch(entry.name))
            and format_frame_name(path.name, int(match[1])) == entry.name
        }
    except OSError as error:
        raise InputError(
            f"{error.filename} cannot be read: {error.strerror}", "check its name"
        ) from error


def first_result_number(source: str, start: float, rate: Fraction | None) -> int:
    """Return the number of a result's first picture.

    Of numbered pictures, a result keeps the numbers. Of any other film, it begins with 1.

    Parameters
    ----------
    source : str
    start : float
        First moment of the source to recolor, s.
    rate : Fraction or None
        Frames a second of numbered pictures; None takes `DEFAULT_RATE`.

    Raises
    ------
    InputError
        As `find_first_number`.
    """
    if not is_sequence(source):
        return 1
    return find_first_number(source) + count_frames_before(start, rate or DEFAULT_RATE)


def count_frames_before(start: float, rate: Fraction) -> int:
    """Return the number of frames, of even steps, that lie before a time (s)."""
    span = Span(start)
    count = max(0, math.floor(Fraction(start) * rate))  # or one more
    return count if span.holds(float(count / rate)) else count + 1
