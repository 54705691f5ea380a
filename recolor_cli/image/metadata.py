"""Metadata that a result carries over from its source. Each format has its own places for it."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from PIL import Image

from recolor_cli.image import exif

_XMP_THUMBNAILS = re.compile(rb"<xmp:Thumbnails\b.*?</xmp:Thumbnails>", re.DOTALL)
_XMP_ORIENTATION = re.compile(
    rb"""(tiff:Orientation\s*(?:=\s*["']|>\s*))([2-8])(?=\s*(?:["']|<))"""
)
_PHOTOSHOP_THUMBNAILS = (1033, 1036)
_EXIF_KEYS = ("exif", "Raw profile type exif")  # of Pillow's `info`


METADATA_NAMES = {
    "exif": "EXIF",
    "xmp": "XMP",
    "photoshop": "IPTC",
    "comment": "comment",
    "texts": "texts",
}
"""Names of the fields of `Metadata` that not all formats hold, in prose."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """Metadata of a result.

    Parameters
    ----------
    exif : bytes
        An EXIF block, with its prefix, whose orientation is 1.
    xmp : bytes
    photoshop : bytes
        Photoshop's resources, one of which is IPTC.
    icc_profile : bytes
        Of the result's pixels.
    dpi : tuple of float or None
        Dots per inch, across and down.
    comment : bytes
        Of a JPEG or a GIF.
    texts : tuple of (str, str)
        Of a PNG. A value may be Pillow's `iTXt`, which knows its language.
    """

    exif: bytes = b""
    xmp: bytes = b""
    photoshop: bytes = b""
    icc_profile: bytes = b""
    dpi: tuple[float, float] | None = None
    comment: bytes = b""
    texts: tuple[tuple[str, str], ...] = ()


def read_metadata(
    image: Image.Image, exif_block: bytes, holds_dpi_in_exif: bool = False
) -> Metadata:
    """Return the EXIF, XMP, resolution and comment of a picture that Pillow loaded.

    Parameters
    ----------
    image : Image
    exif_block : bytes
        As it is in the file, or nothing.
    holds_dpi_in_exif : bool
        Whether the resolution has no other place.
    """
    found = image.getexif()
    if found and not exif_block:  # a PNG may hold it as a text
        exif_block = found.tobytes()
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    comment = image.info.get("comment", b"")
    block = clean_exif(exif_block)
    dpi = tuple(float(value) for value in image.info.get("dpi", ()))
    if holds_dpi_in_exif and block and not dpi:
        dpi = exif.Directory.of_block(block).dpi or ()
    return Metadata(
        exif=block,
        xmp=clean_xmp(xmp.encode() if isinstance(xmp, str) else bytes(xmp)),
        # A PNG may hold 1: it tells the aspect of a pixel only.
        dpi=(dpi[0], dpi[1]) if len(dpi) == 2 and min(dpi) > 1 else None,
        comment=comment.encode() if isinstance(comment, str) else bytes(comment),
    )


def drop_broken_exif(image: Image.Image) -> None:
    """Remove EXIF that Pillow cannot parse, because it raises wherever it needs some of it."""
    try:
        Image.Image.getexif(image)  # of a PNG, because its own loads the pixels
    except Exception:
        for key in _EXIF_KEYS:
            image.info.pop(key, None)


def orientation_of(exif_block: bytes, xmp: bytes) -> int:
    """Return the orientation, 1..8, that EXIF holds or, if it holds none, XMP."""
    try:
        found = exif.Directory.of_block(exif_block).number(exif.ORIENTATION)
    except ValueError:
        found = None
    match = None if found else _XMP_ORIENTATION.search(xmp)
    return found or (int(match[2]) if match else 1)


def clean_exif(block: bytes) -> bytes:
    """Return an EXIF block upright and without its thumbnail; nothing if it is broken."""
    try:
        return exif.reset_orientation(block) if block else b""
    except ValueError:
        return b""


def clean_xmp(xmp: bytes) -> bytes:
    """Return XMP upright and without thumbnails, because they show the old color."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", _XMP_THUMBNAILS.sub(b"", xmp))


def clean_photoshop(resources: bytes) -> bytes:
    """Return Photoshop's resources without thumbnails, up to the first that is broken.

    A resource is a signature, a number, a name of even length, and data whose length is made even.
    """
    kept, at = b"", 0
    while resources[at : at + 4] == b"8BIM" and at + 12 <= len(resources):
        (number,) = struct.unpack_from(">H", resources, at + 4)
        name = 1 + resources[at + 6]
        head = at + 6 + name + name % 2
        if head + 4 > len(resources):
            break
        (size,) = struct.unpack_from(">I", resources, head)
        end = head + 4 + size + size % 2
        if number not in _PHOTOSHOP_THUMBNAILS:
            kept += resources[at:end]
        at = end
    return kept
