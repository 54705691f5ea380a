"""Table of the image formats that can be read and written.

To add a format, add a line to `ImageFormat` and a module of the same name in lower case to this
package. The module has a `CODEC`, which says what the format holds and how it is read and written.
"""

from __future__ import annotations

from enum import StrEnum

from recolor_cli.system.texts import listed


class ImageFormat(StrEnum):
    """A file format. Its value is Pillow's name for it.

    Each line has that name, the name in prose, the file-name endings (the usual one first), and
    where and with which bytes a file begins.
    """

    prose_name: str
    suffixes: tuple[str, ...]
    _offset: int
    _signatures: tuple[bytes, ...]

    JPEG = "JPEG", "JPEG", ".jpg .jpeg .jpe .jfif", 0, b"\xff\xd8"
    PNG = "PNG", "PNG", ".png .apng", 0, b"\x89PNG"
    WEBP = "WEBP", "WebP", ".webp", 8, b"WEBP"
    TIFF = "TIFF", "TIFF", ".tif .tiff", 0, b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"
    AVIF = "AVIF", "AVIF", ".avif", 4, b"ftyp"
    JPEG2000 = "JPEG2000", "JPEG 2000", ".jp2 .j2k .jpx", 0, b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"
    GIF = "GIF", "GIF", ".gif", 0, b"GIF8"
    BMP = "BMP", "BMP", ".bmp .dib", 0, b"BM"
    PPM = "PPM", "PNM", ".ppm .pnm .pgm .pbm", 0, b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"Pf"

    def __new__(
        cls, name: str, prose_name: str, suffixes: str, offset: int, *signatures: bytes
    ) -> ImageFormat:
        """Make a member from its line."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.prose_name = prose_name
        member.suffixes = tuple(suffixes.split())
        member._offset = offset
        member._signatures = signatures
        return member

    @classmethod
    def of_suffix(cls, suffix: str) -> ImageFormat | None:
        """Return the format of a file-name ending such as ``.jpg``, or None."""
        return SUFFIXES.get(suffix.lower())

    @classmethod
    def of_data(cls, data: bytes) -> ImageFormat | None:
        """Return the format that a file's first bytes announce, or None."""
        return next((f for f in cls if data.startswith(f._signatures, f._offset)), None)

    @property
    def suffix(self) -> str:
        """The usual file-name ending, with its dot."""
        return self.suffixes[0]

    @property
    def media_type(self) -> str:
        """The media type, as in ``image/png``."""
        odd = {ImageFormat.JPEG2000: "jp2", ImageFormat.PPM: "x-portable-anymap"}
        return f"image/{odd.get(self, self.value.lower())}"


SUFFIXES = {suffix: each for each in ImageFormat for suffix in each.suffixes}
"""Formats by file-name ending."""

FORMAT_NAMES = {each.suffix[1:]: each for each in ImageFormat} | {
    each.value.lower(): each for each in ImageFormat if f".{each.value.lower()}" in each.suffixes
}
"""Formats by the names that users give them on the command line, such as ``jpg`` and ``jpeg``."""

READABLE = listed([each.prose_name for each in ImageFormat])
"""All formats, in prose."""


def color_suffix(suffix: str) -> str:
    """Return the file-name ending of a colored result.

    ``.pgm`` and ``.pbm`` hold no color; ``.mpo`` tells of further pictures, which a result has not.
    """
    return {".pgm": ".ppm", ".pbm": ".ppm", ".mpo": ".jpg"}.get(suffix.lower(), suffix)
