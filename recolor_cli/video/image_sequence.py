"""Numbered pictures as a film: patterns such as ``frames/%05d.png`` and the files they name."""

from __future__ import annotations

import re
from pathlib import Path

from recolor_cli.errors import InputError
from recolor_cli.image.film_names import NUMBER
from recolor_cli.system.texts import counted


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
        If no picture matches, or a number is missing between the lowest and the highest.
    """
    path = Path(pattern)
    before, after = NUMBER.split(path.name)
    with_number = re.compile(f"{re.escape(before)}(\\d+){re.escape(after)}")
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError as error:
        raise InputError(
            f"the folder {path.parent} cannot be read: {error.strerror}", "check its name"
        ) from error
    numbers = {
        int(match[1])
        for name in names
        if (match := with_number.fullmatch(name))
        and format_frame_name(path.name, int(match[1])) == name
    }
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
    return first
