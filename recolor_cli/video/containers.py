"""File formats of results: their names, what they can hold, and how the suffix chooses one."""

from __future__ import annotations

from pathlib import Path

from recolor_cli.errors import UsageError
from recolor_cli.image.film_names import is_pattern

CONTAINERS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".qt": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".flv": "flv",
    ".3gp": "3gp",
    ".ts": "mpegts",
    ".mts": "mpegts",
    ".m2ts": "mpegts",
    ".nut": "nut",
}
"""FFmpeg's names by suffix. Films with another suffix become Matroska, which holds everything.

AVI is missing: it stores no times but the order of its frames, and H.264 displays them in another.
"""
SEQUENCE_CODECS = {".png": "png", ".tif": "tiff", ".tiff": "tiff"}
SEQUENCE = "sequence"  # stands for a container: numbered pictures
Y4M = "yuv4mpegpipe"  # the format of standard output
STARTS_AT_ZERO = ("flv", "mpegts")
"""Containers without times before 0. A film with such times would be moved as a whole."""
_MOV = ("mp4", "mov", "3gp")
HOLD_ROTATION = (*_MOV, "matroska", "webm")
"""Containers that tell players to turn the picture."""


def find_container(path: str) -> str:
    """Return FFmpeg's name of the format of a result, or `SEQUENCE`.

    Raises
    ------
    UsageError
        If no format that can be written has this suffix.
    """
    suffix = Path(path).suffix.lower()
    if suffix in CONTAINERS:
        return CONTAINERS[suffix]
    if names_pictures(path):
        return SEQUENCE
    if is_pattern(path):
        raise UsageError(
            f"{path}: numbered pictures of this format cannot be written",
            "use %05d.png or %05d.tif",
        )
    raise UsageError(
        f"{path}: films of this format cannot be written", f"use {', '.join(sorted(CONTAINERS))}"
    )


def names_pictures(path: str) -> bool:
    """Tell whether the name of a result is a pattern of numbered pictures that can be written."""
    return is_pattern(path) and Path(path).suffix.lower() in SEQUENCE_CODECS


def is_writable(path: str) -> bool:
    """Tell whether a film can be written under this name."""
    return Path(path).suffix.lower() in CONTAINERS or names_pictures(path)


def choose_suffix(suffix: str) -> str:
    """Return the suffix of a film's result: the source's if it can be written, else ``.mkv``."""
    return suffix if suffix.lower() in (*CONTAINERS, *SEQUENCE_CODECS) else ".mkv"


def is_mov(container: str) -> bool:
    """Tell whether a container belongs to the MP4 family, in which each track has a time scale."""
    return container in _MOV
