"""File names of films. Pictures and films are told apart by name, before anything is opened."""

from __future__ import annotations

import os
import re
from pathlib import Path

FILM_SUFFIXES = frozenset((
    *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mkv", ".mk3d", ".webm", ".avi", ".divx"),
    *(".mpg", ".mpeg", ".mpe", ".vob", ".m2v", ".ts", ".mts", ".m2ts", ".flv", ".f4v", ".wmv"),
    *(".asf", ".ogv", ".ogm", ".rm", ".rmvb", ".dv", ".mxf", ".nut", ".y4m", ".mjpeg"),
    *(".h264", ".264", ".h265", ".hevc"),
))  # fmt: skip
"""File-name endings of films. FFmpeg decides whether it can read one."""

NUMBER = re.compile(r"%(?:0[1-9]\d?)?d")
"""The place of the number in a pattern: ``%d`` or ``%05d``; ``%20d`` may be from a web address."""


def is_pattern(name: str) -> bool:
    """Tell whether a name can be a pattern of numbered pictures: ``frames/%05d.png``."""
    return len(NUMBER.findall(Path(name).name)) == 1


def is_sequence(name: str) -> bool:
    """Tell whether a name means numbered pictures: it is a pattern, and no file has this name."""
    return is_pattern(name) and not os.path.lexists(name)


def has_film_suffix(name: str) -> bool:
    """Tell whether a name ends like that of a film in one file."""
    return Path(name).suffix.lower() in FILM_SUFFIXES


def is_film(name: str) -> bool:
    """Tell whether a name is that of a film: a video, or numbered pictures (``%05d.png``)."""
    return has_film_suffix(name) or is_sequence(name)
