"""Lock open files. A lock ends with its process, also if that is killed on another machine."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import BinaryIO

from recolor_cli.errors import OutputError


def try_lock(file: BinaryIO) -> bool | None:
    """Lock an open file for this handle alone.

    Returns
    -------
    bool or None
        True if the file is locked, False if somebody else has locked it, None if the system or the
        file system has no locks.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems
        return None
    return True


def is_at(file: BinaryIO, path: Path) -> bool:
    """Tell whether an open file still has its name; it may have been removed meanwhile."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def open_locked(path: Path, taken: str, advice: str) -> BinaryIO:
    """Open and lock a file, and make its folder. The lock ends with the process at the latest.

    Raises
    ------
    OutputError
        With the message `taken` and `advice`, if somebody else holds the lock.
    OSError
        If the file cannot be made.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = path.open("ab")
        except FileNotFoundError:  # another process has just removed the folder
            continue
        if try_lock(file) is False:
            file.close()
            raise OutputError(taken, advice)
        if is_at(file, path):
            return file
        file.close()  # another process deleted the file between opening and locking


def remove_locked(file: BinaryIO, path: Path) -> None:
    """Delete a file that `open_locked` opened, then release its lock.

    The other order would let two processes hold a lock: one the deleted file, one a new file.
    """
    if file.closed:
        return
    if sys.platform == "win32":  # an open file cannot be deleted
        file.close()
    with contextlib.suppress(OSError):
        path.unlink()
    file.close()
