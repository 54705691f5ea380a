"""Numbered pictures as a film: patterns such as ``frames/%05d.png`` and the files they name."""

from __future__ import annotations

import re
from pathlib import Path

from recolor_cli.errors import InputError

_PATTERN = re.compile(r"%(0?\d*)d")


def is_pattern(name: str) -> bool:
    """Tell whether a name is a pattern of numbered pictures: ``frames/%05d.png``."""
    return len(_PATTERN.findall(name)) == 1


def format_frame_name(pattern: str, number: int) -> str:
    """Return the name of one numbered picture of a pattern."""
    return _PATTERN.sub(lambda match: f"%{match[1]}d" % number, pattern)


def find_first_number(pattern: str) -> int:
    """Return the lowest number among the pictures that match a pattern.

    Raises
    ------
    InputError
        If no picture matches, or a number is missing between the lowest and the highest.
    """
    path = Path(pattern)
    if not is_pattern(path.name):
        raise InputError("the number belongs in the file's name", "as in frames/%05d.png")
    before, _, after = _PATTERN.split(path.name)
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
            f"{format_frame_name(path.name, missing)} is missing among {len(numbers)} pictures",
            "number them without gaps",
        )
    return first
