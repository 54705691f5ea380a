"""Say in plain words why a film cannot be opened."""

from __future__ import annotations

import os
import re
from pathlib import Path

import av.error

from recolor_cli.errors import InputError
from recolor_cli.video.declared_end import count_missing_bytes

REPAIR_ADVICE = (
    "check that the file is complete and plays; ffmpeg -i FILE -c copy NEW.mkv may repair it"
)
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)  # a path has one of its two slashes


def make_open_error(error: av.error.FFmpegError, source: str) -> InputError:
    """Return the error for a film that FFmpeg cannot open."""
    if isinstance(error, FileNotFoundError) and _ADDRESS.match(source):
        return InputError("no such file; web addresses are not read", "download the film first")
    if isinstance(error, FileNotFoundError):
        return InputError("no such file", "check the name, and that the disk is there")
    if isinstance(error, PermissionError):
        return InputError("cannot be read: permission denied", "check its permissions")
    if isinstance(error, IsADirectoryError):
        return InputError("it is a folder", "name the films in it")
    path = Path(source)
    if os.path.isfile(path):
        if not path.stat().st_size:
            return InputError("the file is empty", "copy it again")
        if missing := count_missing_bytes(path):
            return InputError(
                f"the file is cut off: {missing} bytes or more are missing, and it cannot be read",
                "copy it again",
            )
    if isinstance(error, OSError):  # of the disk
        return InputError(
            f"it cannot be read: {(error.strerror or str(error)).lower()}", "try again"
        )
    return InputError(
        "it cannot be read as a film: it is damaged, or something else", REPAIR_ADVICE
    )
