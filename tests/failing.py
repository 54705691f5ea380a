"""Functions that fail or wait, to be called by name in a process that loads this file alone."""

import os
import signal
import time
from pathlib import Path

from recolor_cli.errors import UsageError


def crash(*args: object) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def crash_once(path: Path) -> int:
    """Crash, but not when the file is there; then return the number of the process."""
    if not path.exists():
        path.touch()
        crash()
    return os.getpid()


def refuse() -> None:
    raise UsageError("this is no size", "give another one")


def stay(path: Path) -> int:
    """Make a file, and return the number of the process when it is removed."""
    path.touch()
    while path.exists():
        time.sleep(0.01)
    return os.getpid()
