"""Limit what the browser sends and the server keeps, in number and in bytes."""

from __future__ import annotations

import shutil
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

_MAX_BYTES = 1 << 30


def remove_oldest(kept: OrderedDict[str, Any], room: Path, most: int) -> None:
    """Remove the oldest entries that are too many or take too much room; the newest one stays.

    Parameters
    ----------
    kept : OrderedDict
        By the names of files or folders, the oldest first.
    room : Path
        Where they are.
    most : int
        Entries that are kept.
    """
    sizes = {name: _size(room / name) for name in kept}
    while len(kept) > most or (len(kept) > 1 and sum(sizes.values()) > _MAX_BYTES):
        name, _ = kept.popitem(last=False)
        del sizes[name]
        _remove(room / name)


def _remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it."""
    with suppress(OSError):
        path.unlink()
    shutil.rmtree(path, ignore_errors=True)


def _size(path: Path) -> int:
    size = 0
    for file in (path, *path.glob("*")):
        with suppress(OSError):  # a temporary file is gone already
            size += file.stat().st_size
    return size
