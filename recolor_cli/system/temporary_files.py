"""Make temporary files. Those in use are locked, so that a later run can tell leftovers."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import BinaryIO

from recolor_cli.system.file_lock import try_lock

_NAME = re.compile(r"\.recolor-[0-9a-f-]+\.tmp")
# Seconds without a change, after which a file is a leftover where the file system has no locks.
_MAX_AGE = 24 * 3600
_TRIES = 10  # to make a file that nobody takes for a leftover


@contextlib.contextmanager
def temporary_file(folder: Path, lock: bool = True) -> Iterator[tuple[Path, BinaryIO]]:
    """Make a file that is removed when the block ends, unless the block renamed it.

    Leftovers in the folder are removed first, once in a process.

    Parameters
    ----------
    folder : Path
        An existing folder.
    lock : bool
        Lock the file. On shares of Windows a locked file cannot be written by its name, so a file
        for a library that does so must lie in a folder that no other run uses, and stay unlocked.

    Yields
    ------
    (Path, BinaryIO)
        The file, open for reading and writing.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    _remove_leftovers_once(folder)
    path, file = _create(folder, lock)
    try:
        yield path, file
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # a failed write was reported already
            file.close()
        with contextlib.suppress(OSError):  # Windows removes no open file
            path.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of runs that were killed, on any machine; keep those in use."""
    with contextlib.suppress(OSError):  # the folder does not exist yet, or is not writable
        with os.scandir(folder) as entries:
            found = [Path(entry.path) for entry in entries if _NAME.fullmatch(entry.name)]
        for path in found:
            _remove_if_unused(path)


_remove_leftovers_once = cache(remove_leftovers)


def _create(folder: Path, lock: bool) -> tuple[Path, BinaryIO]:
    for _ in range(_TRIES):
        path = folder / f".recolor-{secrets.token_hex(8)}.tmp"
        file = path.open("x+b")
        # Another run may have taken the file for a leftover before it was locked.
        if not lock or (try_lock(file) is not False and path.exists()):
            break
        file.close()
    return path, file


def _remove_if_unused(path: Path) -> None:
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            path.unlink()  # fails if it is open
            return
        flags = os.O_NONBLOCK | os.O_NOFOLLOW
        # Network file systems lock only files that are open for writing.
        with open(path, "r+b", opener=lambda name, mode: os.open(name, mode | flags)) as file:
            is_unused = try_lock(file)
            if is_unused is None:
                is_unused = time.time() - os.fstat(file.fileno()).st_mtime > _MAX_AGE
            if is_unused:
                path.unlink()
