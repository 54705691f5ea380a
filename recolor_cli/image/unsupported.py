"""Files that are not read: their names, and a command that converts them."""

from __future__ import annotations

from recolor_cli.errors import InputError
from recolor_cli.image.film_names import FILM_SUFFIXES
from recolor_cli.image.formats import READABLE, ImageFormat

# A format's name, and the command that helps.
_Kind = tuple[str, str]
_RAW: _Kind = ("camera RAW", "develop it first: darktable-cli FILE out.tif")
_HEIC: _Kind = ("HEIC", "convert it first: heif-convert FILE out.png")
_PDF: _Kind = ("PDF", "extract the pictures first: pdfimages -all FILE prefix")
_POSTSCRIPT: _Kind = ("PostScript", "render it first: gs -sDEVICE=png16m -r300 -o out.png FILE")
_PHOTOSHOP: _Kind = ("Photoshop", "flatten it first: magick 'FILE[0]' out.tif")
_JPEG_XL: _Kind = ("JPEG XL", "convert it first: djxl FILE out.png")
_JPEG_LS: _Kind = ("JPEG-LS", "convert it first: ffmpeg -i FILE out.png")
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
        (".jls", _JPEG_LS),
        (".djvu .djv", _DJVU),
        (".svg .svgz", _SVG),
        (".dng .cr2 .cr3 .nef .nrw .arw .srf .sr2 .raf .rw2 .orf .pef .srw .x3f .iiq .3fr", _RAW),
    )
    for suffix in suffixes.split()
} | dict.fromkeys(FILM_SUFFIXES, _FILM)


def unsupported_format(data: bytes) -> InputError | None:
    """Return an error that names the format of a file, if it is a known one that is not read."""
    for signature, offset, kind in _UNSUPPORTED_SIGNATURES:
        if data.startswith(signature, offset):
            return _error(kind)
    head = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<svg", b"<?xml", b"<!doctype svg")) and b"<svg" in head:
        return _error(_SVG)
    return None


def unsupported_suffix(suffix: str) -> InputError | None:
    """Return the error of `unsupported_format` by a file-name ending such as ``.heic``."""
    kind = _UNSUPPORTED_SUFFIXES.get(suffix.lower())
    return _error(kind) if kind else None


def check_format(data: bytes) -> None:
    """Check the first bytes of a file.

    Raises
    ------
    InputError
        If it does not begin like a picture that can be read.
    """
    if error := unsupported_format(data):
        raise error
    if ImageFormat.of_data(data) is None:
        raise not_a_picture()


def not_a_picture() -> InputError:
    """Return the error for a file that begins like no known format."""
    return InputError(
        "it is no picture, is cut off, or of an unknown kind", f"{READABLE} can be read"
    )


def raw_error() -> InputError:
    """Return the error for a camera RAW file that is stored as a TIFF."""
    return _error(_RAW)


def jpeg_ls_error() -> InputError:
    """Return the error for a JPEG-LS file, which begins like a JPEG."""
    return _error(_JPEG_LS)


def _error(kind: _Kind) -> InputError:
    name, advice = kind
    if kind is _FILM:
        return InputError("it is a film, not a picture", advice)
    return InputError(f"it is a {name} file, which cannot be read", advice)
