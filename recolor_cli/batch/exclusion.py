"""Names in folders that are left out: those of ``--exclude``, and folders of thumbnails."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch

# Folders that file servers and archive programs make. They hold small copies of the pictures, what
# was deleted, or half of a Macintosh file. Hidden ones, such as .thumbnails, begin with a dot.
_MACHINE_MADE = ("@eaDir", "@Recycle", "#recycle", "$RECYCLE.BIN", "__MACOSX")


def is_machine_made(folder: str) -> bool:
    """Tell by its name whether a folder holds thumbnails or deleted files."""
    return folder in _MACHINE_MADE


def is_excluded(relative: str, patterns: Sequence[str]) -> bool:
    """Tell whether a pattern fits a file or a folder.

    Parameters
    ----------
    relative : str
        Its path within the folder that is searched, with slashes.
    patterns : sequence of str
        As a shell writes them. One with a slash is compared with the path, others with the name.

    Examples
    --------
    >>> is_excluded("1931/small/a.jpg", ["*.png", "small"]), is_excluded("1931/small", ["small/"])
    (False, True)
    >>> is_excluded("1931/a.jpg", ["1931/*"]), is_excluded("1931/a.jpg", ["a.*"])
    (True, True)
    """
    name = relative.rpartition("/")[2]
    for pattern in patterns:
        bare = pattern.rstrip("/")
        if fnmatch(relative if "/" in bare else name, bare.removeprefix("./")):
            return True
    return False
