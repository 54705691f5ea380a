"""Names of sidecar files, which are written next to a result.

A sidecar file has its result's name, a hyphen and a label: ``poster-recolored-compare.jpg``. The
same command twice must not take it for a picture, so that a new kind needs its label here.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Collection
from pathlib import Path, PurePath

from recolor_cli.system.places import sibling

COMPARE = "compare"  # before | after
VARIANTS = "variants"  # a sheet of all variants; each but the result is labelled with its number
CONFIDENCE = "confidence"  # a map of how certain the network was

STUDIO, MASK, PALETTE = "studio", "mask", "palette"  # choices of a person; made by `serve`

MAX_VARIANTS = 16

_LABELS = (COMPARE, VARIANTS, CONFIDENCE)  # as regular expressions
# DOTALL, because a file's name may have a newline in it.
_NUMBERED = re.compile(r"(.+)-\d{1,2}", re.DOTALL)
_LABELLED = re.compile(rf"(.+)-(?:{'|'.join(_LABELS)})", re.DOTALL)
_CHOSEN = re.compile(rf"(.+?)(?:\.[^.]+)?-(?:{MASK}|{PALETTE})", re.DOTALL)
_THUMBNAIL_FOLDER = "-thumbnails"
THUMBNAIL = re.compile(r"([0-9a-f]{16})-(before|after|\d+)\.jpg")  # in a page's folder


def sidecar_path(destination: str, label: str) -> str:
    """Return the path of a result's sidecar file.

    Examples
    --------
    >>> sidecar_path("new/poster.v2.jpg", COMPARE)
    'new/poster.v2-compare.jpg'
    """
    path = PurePath(destination)
    return sibling(destination, f"{path.stem}-{label}{path.suffix}")


def chosen_path(destination: Path, label: str, ending: str) -> Path:
    """Return the path of a file with what a person chose for a result.

    The ending of the result is in the name, because ``a.jpg`` and ``a.png`` may lie in one folder.

    Examples
    --------
    >>> chosen_path(Path("a-recolored.jpg"), MASK, ".png").name
    'a-recolored.jpg-mask.png'
    """
    return destination.with_name(f"{destination.name}-{label}{ending}")


def outdated_sidecars(
    destination: str,
    made: Collection[str],
    with_result: bool,
    exists: Callable[[str], bool] = os.path.exists,
) -> list[str]:
    """Return the sidecar files of an earlier result that remain when others are made anew.

    Parameters
    ----------
    destination : str
        Of the result.
    made : collection of str
        Paths of the sidecar files that are made anew.
    with_result : bool
        Whether the result is made anew, too.
    exists : callable
        Tells whether there is a file of a name.
    """
    sheet = sidecar_path(destination, VARIANTS)
    labels = list(_LABELS) if with_result else []
    # Without a sheet, a file with a number is a picture of its own.
    if exists(sheet) and (with_result or sheet in made):
        labels += map(str, range(1, MAX_VARIANTS + 1))
    paths = (sidecar_path(destination, label) for label in labels)
    return [path for path in paths if path not in made and exists(path)]


def without_label(stem: str, suffix: str = "") -> str:
    """Return the stem of a name without the label of a sidecar file.

    A number counts as a variant's label only behind the suffix of results, because many pictures
    are numbered. So do the labels of what a person chose.

    Examples
    --------
    >>> without_label("poster-recolored-2", "-recolored"), without_label("scan-2", "-recolored")
    ('poster-recolored', 'scan-2')
    """
    if match := _LABELLED.fullmatch(stem):
        return match[1]
    match = _NUMBERED.fullmatch(stem) or _CHOSEN.fullmatch(stem)
    return match[1] if match and suffix and match[1].endswith(suffix) else stem


def thumbnail_folder(page: Path) -> Path:
    """Return the folder that holds the thumbnails of a gallery."""
    return page.with_name(page.stem + _THUMBNAIL_FOLDER)


def thumbnail_key(name: str) -> str:
    """Return the beginning of the names of a picture's thumbnails: 16 hexadecimal digits.

    Parameters
    ----------
    name : str
        Tells the picture from all others of its page; any text, also bytes that are not UTF-8.
    """
    return hashlib.blake2b(os.fsencode(name), digest_size=8).hexdigest()


def is_thumbnail(path: str) -> bool:
    """Tell whether a file is a gallery's thumbnail."""
    folder, name = os.path.split(path)
    return folder.endswith(_THUMBNAIL_FOLDER) and bool(THUMBNAIL.fullmatch(name))
