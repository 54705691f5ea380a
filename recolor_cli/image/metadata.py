"""What a file says beside its pixels: gathered from one format, put into another."""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image, PngImagePlugin

from recolor_cli.image import exif
from recolor_cli.image.formats import ImageFormat

_XMP_KEY = "XML:com.adobe.xmp"
_OWN_WAYS = (_XMP_KEY, "Raw profile type exif", "Raw profile type APP1", "Raw profile type xmp")
_XMP_THUMBNAILS = re.compile(rb"<xmp:Thumbnails\b.*?</xmp:Thumbnails>", re.DOTALL)
_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation\s*(?:=\s*["']|>\s*))[2-8](?=\s*(?:["']|<))""")

_APP13, _PHOTOSHOP = "APP13", b"Photoshop 3.0\0"
_PHOTOSHOP_THUMBNAILS = (1033, 1036)
_SEGMENT = 65_000  # bytes; what a JPEG segment holds, with room for its head

# TIFF tags that tell how pixels lie in that one file; and those that go their own way.
_LAYOUT_TAGS = (
    {254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281}
    | {284, 288, 289, 290, 291, 292, 293, 297, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325}
    | {330, 332, 333, 334, 336, 338, 339, 340, 341, 342, 347, 529, 530, 531, 532}
    | set(range(512, 522))
)
XMP_TAG, ICC_TAG, PHOTOSHOP_TAG = 700, 34675, 34377


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a result is to carry of its source.

    Parameters
    ----------
    exif : bytes
        An EXIF block that says upright, with its prefix.
    xmp : bytes
    photoshop : bytes
        Photoshop's resources, of which one is IPTC.
    icc_profile : bytes
        Of the result's pixels.
    dpi : tuple of float or None
        Across and down, per inch.
    comment : bytes
        Of a JPEG or a GIF.
    texts : tuple of (str, str)
        Of a PNG; a value may be Pillow's text that knows its language.
    """

    exif: bytes = b""
    xmp: bytes = b""
    photoshop: bytes = b""
    icc_profile: bytes = b""
    dpi: tuple[float, float] | None = None
    comment: bytes = b""
    texts: tuple[tuple[str, str], ...] = ()


def of_image(image: Image.Image, raw_exif: bytes) -> Metadata:
    """Return what a loaded picture, other than a TIFF, says.

    Parameters
    ----------
    image : Image
    raw_exif : bytes
        As it is in the file.
    """
    found = image.getexif()
    if found and not raw_exif:  # as a text of a PNG, say
        raw_exif = found.tobytes()
    try:
        block = exif.reset_orientation(raw_exif) if raw_exif else b""
    except ValueError:
        block = b""  # a block that no program can read: there is nothing to keep
    dpi = tuple(float(value) for value in image.info.get("dpi", ()))
    if not dpi and block and image.format in ("WEBP", "AVIF"):  # which have no other place for it
        dpi = exif.Directory.of_block(block).dpi or ()
    xmp = image.info.get("xmp") or image.info.get(_XMP_KEY) or b""
    texts: dict[str, str] = getattr(image, "text", {}) if image.format == "PNG" else {}
    comment = image.info.get("comment", b"")
    if image.format == "JPEG2000":
        comment = b""  # the encoder's name
    segments = [data for name, data in getattr(image, "applist", ()) if name == _APP13]
    return Metadata(
        exif=block,
        xmp=_upright_xmp(xmp.encode() if isinstance(xmp, str) else bytes(xmp)),
        photoshop=_without_thumbnails(
            b"".join(s.removeprefix(_PHOTOSHOP) for s in segments if s.startswith(_PHOTOSHOP))
        ),
        dpi=(dpi[0], dpi[1]) if len(dpi) == 2 and min(dpi) > 1 else None,  # 1 is an aspect
        comment=comment.encode() if isinstance(comment, str) else bytes(comment),
        texts=tuple((key, text) for key, text in texts.items() if not key.startswith(_OWN_WAYS)),
    )


def of_directory(directory: exif.Directory) -> Metadata:
    """Return what a TIFF's directory says."""
    entries = directory.entries
    kept = {tag: entry for tag, entry in entries.items() if tag not in _LAYOUT_TAGS}
    xmp, photoshop = kept.pop(XMP_TAG, None), kept.pop(PHOTOSHOP_TAG, None)
    kept.pop(ICC_TAG, None)
    block = replace(directory, entries=kept).to_block() if kept or directory.children else b""
    return Metadata(
        exif=block,
        xmp=_upright_xmp(xmp.data) if xmp else b"",
        photoshop=_without_thumbnails(photoshop.data) if photoshop else b"",
        dpi=directory.dpi,
    )


def options_for(metadata: Metadata, image_format: ImageFormat) -> dict[str, Any]:
    """Return what Pillow's ``save`` is to be given so that a result carries it, too."""
    options: dict[str, Any] = {}
    if metadata.exif:
        options["exif"] = metadata.exif
    if metadata.icc_profile:
        options["icc_profile"] = metadata.icc_profile
    if metadata.dpi:
        options["dpi"] = metadata.dpi
    if metadata.xmp:
        options["xmp"] = metadata.xmp
    if metadata.comment and image_format in (ImageFormat.JPEG, ImageFormat.GIF):
        options["comment"] = metadata.comment
    if image_format is ImageFormat.JPEG and metadata.photoshop:
        options["extra"] = _photoshop_segments(metadata.photoshop)
    elif image_format is ImageFormat.PNG and (metadata.xmp or metadata.texts):
        options["pnginfo"] = _png_texts(metadata)
    elif image_format in (ImageFormat.WEBP, ImageFormat.AVIF):
        if metadata.dpi:
            options["exif"] = exif.with_resolution(metadata.exif, metadata.dpi)
        if image_format is ImageFormat.AVIF and "exif" in options:
            # Pillow rebuilds a block with an orientation, and would spoil texts in UTF-8.
            options["exif"] = exif.without_orientation(options["exif"])
    return options


def png_chunks(metadata: Metadata) -> bytes:
    """Return the chunks of a PNG that carry the metadata, as Pillow writes them."""
    buffer = io.BytesIO()
    Image.new("L", (1, 1)).save(buffer, "PNG", **options_for(metadata, ImageFormat.PNG))
    data = buffer.getvalue()
    chunks, at = b"", 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        if data[at + 4 : at + 8] not in (b"IHDR", b"IDAT", b"IEND"):
            chunks += data[at : at + 12 + length]
        at += 12 + length
    return chunks


def jpeg_segments(metadata: Metadata) -> bytes:
    """Return the segments of a JPEG that carry the metadata, as Pillow writes them."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", **options_for(metadata, ImageFormat.JPEG))
    data = buffer.getvalue()
    at = 2
    while data[at + 1] != 0xDB:  # the first that tells about pixels
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return data[2:at]


def _png_texts(metadata: Metadata) -> PngImagePlugin.PngInfo:
    texts = PngImagePlugin.PngInfo()
    for key, value in metadata.texts:
        if isinstance(value, PngImagePlugin.iTXt):
            texts.add_itxt(key, value, value.lang or "", value.tkey or "", len(value) > 1000)
        else:
            texts.add_text(key, value, len(value) > 1000)
    if metadata.xmp:
        texts.add_itxt(_XMP_KEY, metadata.xmp.decode("utf-8", "replace"))
    return texts


def _upright_xmp(xmp: bytes) -> bytes:
    """Return XMP without thumbnails, which show the old color, and with no turn to be made."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", _XMP_THUMBNAILS.sub(b"", xmp))


def _without_thumbnails(resources: bytes) -> bytes:
    """Leave the thumbnails out of Photoshop's resources; what is no resource ends the list.

    Each is a signature, a number, a name of even length, and data of a length that is made even.
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


def _photoshop_segments(resources: bytes) -> bytes:
    """Return the JPEG segments that hold Photoshop's resources."""
    parts = (resources[at : at + _SEGMENT] for at in range(0, len(resources), _SEGMENT))
    return b"".join(
        b"\xff\xed" + struct.pack(">H", 2 + len(_PHOTOSHOP) + len(part)) + _PHOTOSHOP + part
        for part in parts
    )
