"""Lock open files. A lock ends with its process, also if that is killed on another machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO


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
