"""File names of films. Pictures and films are told apart by name, before anything is opened."""

from __future__ import annotations

import re
from pathlib import Path

FILM_SUFFIXES = frozenset((
    *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mkv", ".mk3d", ".webm", ".avi", ".divx"),
    *(".mpg", ".mpeg", ".mpe", ".vob", ".m2v", ".ts", ".mts", ".m2ts", ".flv", ".f4v", ".wmv"),
    *(".asf", ".ogv", ".ogm", ".rm", ".rmvb", ".dv", ".mxf", ".nut", ".y4m", ".mjpeg"),
    *(".h264", ".264", ".h265", ".hevc"),
))  # fmt: skip
"""File-name endings of films. FFmpeg decides whether it can read one."""


def is_film(name: str) -> bool:
    """Return whether a name is that of a film: a video, or numbered pictures (``%05d.png``)."""
    return Path(name).suffix.lower() in FILM_SUFFIXES or bool(re.search(r"%0?\d*d", name))
