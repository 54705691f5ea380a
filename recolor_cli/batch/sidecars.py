"""What else is written beside a result: how it is called, and told from a picture.

A companion has its result's name, a hyphen and a label: ``poster-recolored-compare.jpg``. The same
command twice must not take it for a picture, so that whoever adds a kind adds its label here.
"""

from __future__ import annotations

import re
from pathlib import Path

COMPARE = "compare"  # before | after
VARIANTS = "variants"  # all variants in one picture; each is labelled with its number
CONFIDENCE = "confidence"  # how sure the network was, and where

_LABELS = (COMPARE, VARIANTS, CONFIDENCE)  # as regular expressions
# A name can have a newline in it: so dots are for all characters.
_NUMBERED = re.compile(r"(.+)-\d{1,2}", re.DOTALL)
_LABELLED = re.compile(rf"(.+)-(?:{'|'.join(_LABELS)})", re.DOTALL)
_THUMBNAIL_FOLDER = "-thumbnails"
THUMBNAIL = re.compile(r"([0-9a-f]{16})-(before|after)\.jpg")  # in a gallery's folder


def sidecar_path(destination: str, label: str) -> str:
    """Return the path of a result's companion.

    Examples
    --------
    >>> sidecar_path("new/poster.v2.jpg", COMPARE)
    'new/poster.v2-compare.jpg'
    """
    path = Path(destination)
    return str(path.with_name(f"{path.stem}-{label}{path.suffix}"))


def without_label(stem: str, suffix: str = "") -> str:
    """Return a name, without ending, as it would be without a companion's label.

    Many pictures are numbered: a number is a variant's only behind the suffix of results.

    Examples
    --------
    >>> without_label("poster-recolored-2", "-recolored"), without_label("scan-2", "-recolored")
    ('poster-recolored', 'scan-2')
    """
    if match := _LABELLED.fullmatch(stem):
        return match[1]
    match = _NUMBERED.fullmatch(stem)
    return match[1] if match and suffix and match[1].endswith(suffix) else stem


def thumbnail_folder(page: Path) -> Path:
    """Return the folder of a gallery's thumbnails."""
    return page.with_name(page.stem + _THUMBNAIL_FOLDER)


def is_thumbnail(path: Path) -> bool:
    """Tell whether a file is a gallery's thumbnail."""
    return path.parent.name.endswith(_THUMBNAIL_FOLDER) and bool(THUMBNAIL.fullmatch(path.name))
