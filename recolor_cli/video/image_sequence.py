"""Numbered pictures as a film: patterns such as ``frames/%05d.png`` and the files they name."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from fractions import Fraction
from pathlib import Path

from recolor_cli.errors import InputError
from recolor_cli.image.film_names import NUMBER
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


def find_whole_sequence(pattern: str) -> dict[int, tuple[int, int]]:
    """Return the pictures that match a pattern, as `find_pictures` does, if none is missing.

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
    empty = [number for number, (size, _) in numbers.items() if not size]
    if empty:
        raise InputError(
            f"{format_frame_name(path.name, min(empty))} is empty",
            "replace it, by a copy of the one before for example",
        )
    return numbers


def find_pictures(pattern: str) -> dict[int, tuple[int, int]]:
    """Return the pictures that match a pattern.

    Returns
    -------
    dict of int to (int, int)
        By the number of each picture, the size of its file in bytes and the time of its last change
        in ns.

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
            int(match[1]): (status.st_size, status.st_mtime_ns)
            for entry in path.parent.iterdir()
            if (match := with_number.fullmatch(entry.name))
            and format_frame_name(path.name, int(match[1])) == entry.name
            and (status := entry.stat())
        }
    except OSError as error:
        raise InputError(
            f"{error.filename} cannot be read: {error.strerror}", "check its name"
        ) from error


def first_result_number(pictures: Collection[int], start: float, rate: Fraction | None) -> int:
    """Return the number of a result's first picture.

    Of numbered pictures, a result keeps the numbers. Of any other film, it begins with 1.

    Parameters
    ----------
    pictures : collection of int
        Numbers of the source's pictures; empty for another film.
    start : float
        First moment of the source to recolor, s.
    rate : Fraction or None
        Frames a second of numbered pictures; None takes `DEFAULT_RATE`.
    """
    if not pictures:
        return 1
    return min(pictures) + count_frames_before(start, rate or DEFAULT_RATE)


def count_frames_before(start: float, rate: Fraction) -> int:
    """Return the number of frames, of even steps, that lie before a time (s)."""
    span = Span(start)
    count = max(0, math.floor(Fraction(start) * rate))  # or one more
    return count if span.holds(float(count / rate)) else count + 1
