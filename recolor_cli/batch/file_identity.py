"""Tell whether two paths mean the same file."""

from __future__ import annotations

import os
import unicodedata
from functools import cache
from pathlib import Path

from recolor_cli.batch.job import STREAM
from recolor_cli.system.places import is_address


def path_key(path: str) -> str:
    """Return a key that is equal for all spellings of a path, whether or not it exists."""
    if is_address(path):
        return path
    place = os.path.normcase(os.path.abspath(path))
    if _ignores_case(os.path.dirname(place)):  # noqa: PTH120, a million times in large runs
        place = unicodedata.normalize("NFC", place).casefold()
    return place


def file_identity(path: str) -> tuple[int, int] | None:
    """Return device and inode, equal for all links to a file; None if it is missing, or no file."""
    if is_address(path):
        return None
    try:
        status = os.fstat(0) if path == STREAM else os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


@cache
def _ignores_case(folder: str) -> bool:
    """Tell whether names in a folder that differ in case alone are of one file."""
    for path in (folder, *map(str, Path(folder).parents)):
        other = path.swapcase()
        if other != path and (identity := file_identity(path)):
            return file_identity(other) == identity
    return False
