"""File formats: their names, what each can hold, and what helps with those that we do not read."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

from recolor_cli.errors import InputError


class ImageFormat(StrEnum):
    """A file format that can be read and written; the value is Pillow's name."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WEBP"
    TIFF = "TIFF"
    AVIF = "AVIF"
    JPEG2000 = "JPEG2000"
    GIF = "GIF"
    BMP = "BMP"
    PPM = "PPM"

    @classmethod
    def of_suffix(cls, suffix: str) -> ImageFormat | None:
        """Return the format of a file-name ending such as ``.jpg``, or None."""
        return _SUFFIXES.get(suffix.lower())

    @property
    def suffix(self) -> str:
        """The usual file-name ending, with its dot."""
        return next(suffix for suffix, image_format in _SUFFIXES.items() if image_format is self)

    @property
    def holds_transparency(self) -> bool:
        """Whether it has a channel for opacity."""
        return self not in (ImageFormat.JPEG, ImageFormat.PPM)

    @property
    def holds_16_bits(self) -> bool:
        """Whether a channel may have 16 bits."""
        return self in (
            ImageFormat.PNG,
            ImageFormat.TIFF,
            ImageFormat.JPEG2000,
            ImageFormat.PPM,
        )

    @property
    def holds_animations(self) -> bool:
        """Whether there may be frames with their timing."""
        return self in (ImageFormat.PNG, ImageFormat.WEBP, ImageFormat.GIF, ImageFormat.AVIF)


_SUFFIXES = {
    ".jpg": ImageFormat.JPEG,
    ".jpeg": ImageFormat.JPEG,
    ".jpe": ImageFormat.JPEG,
    ".jfif": ImageFormat.JPEG,
    ".png": ImageFormat.PNG,
    ".apng": ImageFormat.PNG,
    ".webp": ImageFormat.WEBP,
    ".tif": ImageFormat.TIFF,
    ".tiff": ImageFormat.TIFF,
    ".avif": ImageFormat.AVIF,
    ".jp2": ImageFormat.JPEG2000,
    ".j2k": ImageFormat.JPEG2000,
    ".jpx": ImageFormat.JPEG2000,
    ".gif": ImageFormat.GIF,
    ".bmp": ImageFormat.BMP,
    ".dib": ImageFormat.BMP,
    ".ppm": ImageFormat.PPM,
    ".pnm": ImageFormat.PPM,
    ".pgm": ImageFormat.PPM,
    ".pbm": ImageFormat.PPM,
}


def color_suffix(suffix: str) -> str:
    """Return the file-name ending of a colored result: those of PNM tell gray from color."""
    return ".ppm" if suffix.lower() in (".pgm", ".pbm") else suffix


FILM_SUFFIXES = frozenset((
    *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mkv", ".mk3d", ".webm", ".avi", ".divx"),
    *(".mpg", ".mpeg", ".mpe", ".vob", ".m2v", ".ts", ".mts", ".m2ts", ".flv", ".f4v", ".wmv"),
    *(".asf", ".ogv", ".ogm", ".rm", ".rmvb", ".dv", ".mxf", ".nut", ".y4m", ".mjpeg"),
    *(".h264", ".264", ".h265", ".hevc"),
))  # fmt: skip
"""File-name endings of films; what is read is for FFmpeg to say."""


def is_film(name: str) -> bool:
    """Tell by its name whether something is a film: a file, or numbered pictures (``%05d.png``)."""
    return Path(name).suffix.lower() in FILM_SUFFIXES or bool(re.search(r"%0?\d*d", name))


READABLE = "JPEG, PNG, WebP, TIFF, AVIF, JPEG 2000, GIF, BMP and PNM"

_STARTS = (
    *(b"\xff\xd8", b"\x89PNG", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"GIF8", b"BM"),
    *(b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
)

# What people try and we do not read, and what helps then.
_Kind = tuple[str, str]
_RAW: _Kind = ("camera RAW", "develop it first: darktable-cli FILE out.tif")
_HEIC: _Kind = ("HEIC", "convert it first: heif-convert FILE out.png")
_PDF: _Kind = ("PDF", "extract the pictures first: pdfimages -all FILE prefix")
_POSTSCRIPT: _Kind = ("PostScript", "render it first: gs -sDEVICE=png16m -r300 -o out.png FILE")
_PHOTOSHOP: _Kind = ("Photoshop", "flatten it first: magick 'FILE[0]' out.tif")
_JPEG_XL: _Kind = ("JPEG XL", "convert it first: djxl FILE out.png")
_DJVU: _Kind = ("DjVu", "convert it first: ddjvu -format=tiff FILE out.tif")
_SVG: _Kind = ("SVG", "render it first: rsvg-convert FILE -o out.png")
_FILM: _Kind = ("film", "films have a command of their own: recolor film FILE")
_UNSUPPORTED_SIGNATURES: tuple[tuple[bytes, int, _Kind], ...] = (
    (b"%PDF", 0, _PDF),
    (b"%!PS", 0, _POSTSCRIPT),
    *((b"ftyp" + brand, 4, _HEIC) for brand in (b"heic", b"heix", b"heim", b"hevc", b"mif1")),
    (b"ftypcrx ", 4, _RAW),  # Canon CR3
    (b"CR\2\0", 8, _RAW),  # Canon CR2, else a TIFF
    (b"FUJIFILMCCD-RAW", 0, _RAW),
    (b"IIU\0", 0, _RAW),  # Panasonic
    (b"IIRO", 0, _RAW),  # Olympus
    (b"IIRS", 0, _RAW),
    (b"8BPS", 0, _PHOTOSHOP),
    (b"\xff\x0a", 0, _JPEG_XL),
    (b"\0\0\0\x0cJXL ", 0, _JPEG_XL),
    (b"AT&TFORM", 0, _DJVU),
    (b"\x1a\x45\xdf\xa3", 0, _FILM),  # Matroska
    (b"YUV4MPEG2", 0, _FILM),
    (b"AVI ", 8, _FILM),
    *((b"ftyp" + brand, 4, _FILM) for brand in (b"isom", b"mp42", b"M4V ", b"avc1", b"qt  ")),
    (b"\x1f\x8b", 0, ("gzip", "unpack it first: gunzip FILE")),
)
_UNSUPPORTED_SUFFIXES: dict[str, _Kind] = {
    suffix: kind
    for suffixes, kind in (
        (".heic .heif .hif", _HEIC),
        (".pdf", _PDF),
        (".ps .eps", _POSTSCRIPT),
        (".psd .psb", _PHOTOSHOP),
        (".jxl", _JPEG_XL),
        (".djvu .djv", _DJVU),
        (".svg .svgz", _SVG),
        (".dng .cr2 .cr3 .nef .nrw .arw .srf .sr2 .raf .rw2 .orf .pef .srw .x3f .iiq .3fr", _RAW),
    )
    for suffix in suffixes.split()
} | dict.fromkeys(FILM_SUFFIXES, _FILM)


def unsupported_format(data: bytes) -> InputError | None:
    """Return the error that names a file of a known kind that we do not read, or None."""
    for signature, offset, kind in _UNSUPPORTED_SIGNATURES:
        if data[offset : offset + len(signature)] == signature:
            return _error(kind)
    head = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<svg", b"<?xml", b"<!doctype svg")) and b"<svg" in head:
        return _error(_SVG)
    return None


def unsupported_suffix(suffix: str) -> InputError | None:
    """Return `unsupported_format` by the ending of a name alone, such as ``.heic``."""
    kind = _UNSUPPORTED_SUFFIXES.get(suffix.lower())
    return _error(kind) if kind else None


def unrecognized_format(data: bytes) -> InputError | None:
    """Return the error for what begins like no picture at all, or None."""
    begins = data.startswith(_STARTS) or data[4:8] == b"ftyp" or data[8:12] == b"WEBP"
    if begins:
        return None
    return InputError(
        "it is no picture, is cut off, or of an unknown kind", f"{READABLE} can be read"
    )


def check_format(data: bytes) -> None:
    """Check that a file begins like a picture that can be read; raises InputError if not."""
    if error := unsupported_format(data) or unrecognized_format(data):
        raise error


def raw_error() -> InputError:
    """Return the error for a camera's raw picture in the clothes of a TIFF."""
    return _error(_RAW)


def _error(kind: _Kind) -> InputError:
    name, advice = kind
    if kind is _FILM:
        return InputError("it is a film, not a picture", advice)
    return InputError(f"it is a {name} file, which cannot be read", advice)
