"""Tell whether two paths mean the same file."""

from __future__ import annotations

import os
import unicodedata
from contextlib import suppress
from functools import cache
from pathlib import Path

from recolor_cli.batch.job import STREAM
from recolor_cli.system.places import is_address, sibling


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
    """Tell whether names in a folder that differ in case alone are of one file.

    Disks below each other may differ in that. So a file of the folder is looked for by its name in
    the other case, or, where there is none yet, a file of the nearest folder above.
    """
    for place in (folder, *map(str, Path(folder).parents)):
        with suppress(OSError), os.scandir(place) as entries:
            for entry in entries:
                other = entry.name.swapcase()
                if other != entry.name and (identity := file_identity(entry.path)):
                    return file_identity(sibling(entry.path, other)) == identity
    return False
