"""Files that are not read: their names, and a command that converts them."""

from __future__ import annotations

from recolor_cli.errors import InputError
from recolor_cli.image.film_names import FILM_SUFFIXES
from recolor_cli.image.formats import READABLE, ImageFormat

# What a file is, with its article, and the command that helps.
_Kind = tuple[str, str]
RAW: _Kind = ("a camera RAW file", "develop it first: darktable-cli FILE out.tif")
_HEIC: _Kind = ("a HEIC file", "convert it first: heif-convert FILE out.png")
_PDF: _Kind = ("a PDF file", "extract the pictures first: pdfimages -all FILE prefix")
_POSTSCRIPT: _Kind = (
    "a PostScript file",
    "render it first: gs -sDEVICE=png16m -r300 -o out.png FILE",
)
_PHOTOSHOP: _Kind = ("a Photoshop file", "flatten it first: magick 'FILE[0]' out.tif")
_JPEG_XL: _Kind = ("a JPEG XL file", "convert it first: djxl FILE out.png")
JPEG_LS: _Kind = ("a JPEG-LS file", "convert it first: ffmpeg -i FILE out.png")
_DJVU: _Kind = ("a DjVu file", "convert it first: ddjvu -format=tiff FILE out.tif")
_SVG: _Kind = ("an SVG file", "render it first: rsvg-convert FILE -o out.png")
_OTHER = "convert it first: magick FILE out.png"
_DEEP = "convert it first: magick FILE -depth 16 out.tif"
_EXR: _Kind = ("an OpenEXR file", _DEEP)
_DPX: _Kind = ("a DPX file", _DEEP)
_HDR: _Kind = ("a Radiance HDR file", _DEEP)
_FILM: _Kind = ("a film", "films have a command of their own: recolor film FILE")
_WEB_PAGE: _Kind = ("a web page", "download the picture itself")
_UNSUPPORTED_SIGNATURES: tuple[tuple[bytes, int, _Kind], ...] = (
    (b"%PDF", 0, _PDF),
    (b"%!PS", 0, _POSTSCRIPT),
    *((b"ftyp" + brand, 4, _HEIC) for brand in (b"heic", b"heix", b"heim", b"hevc", b"mif1")),
    (b"ftypcrx ", 4, RAW),  # Canon CR3
    (b"CR\2\0", 8, RAW),  # Canon CR2, else a TIFF
    (b"FUJIFILMCCD-RAW", 0, RAW),
    (b"IIU\0", 0, RAW),  # Panasonic
    (b"IIRO", 0, RAW),  # Olympus
    (b"IIRS", 0, RAW),
    (b"8BPS", 0, _PHOTOSHOP),
    (b"\xff\x0a", 0, _JPEG_XL),
    (b"\0\0\0\x0cJXL ", 0, _JPEG_XL),
    (b"AT&TFORM", 0, _DJVU),
    (b"\x1a\x45\xdf\xa3", 0, _FILM),  # Matroska
    (b"YUV4MPEG2", 0, _FILM),
    (b"AVI ", 8, _FILM),
    *((b"ftyp" + brand, 4, _FILM) for brand in (b"isom", b"mp42", b"M4V ", b"avc1", b"qt  ")),
    (b"v/1\1", 0, _EXR),
    (b"SDPX", 0, _DPX),
    (b"XPDS", 0, _DPX),
    (b"#?RADIANCE", 0, _HDR),
    *((magic, 0, ("a PFM file", _DEEP)) for magic in (b"PF\n", b"PF\r\n")),
    (b"P7\n", 0, ("a PAM file", _OTHER)),
    (b"\0\0\1\0", 0, ("an icon file", _OTHER)),
    (b"DDS ", 0, ("a DDS file", _OTHER)),
    (b"gimp xcf", 0, ("a GIMP file", "flatten it first: magick FILE -flatten out.png")),
    (b"\x1f\x8b", 0, ("a gzip file", "unpack it first: gunzip FILE")),
    (b"PK\3\4", 0, ("a ZIP file", "unpack it first: unzip FILE")),
    (
        b"version https://git-lfs",
        0,
        ("a pointer of Git LFS", "get the picture: git lfs pull"),
    ),
    (b"\0\5\x16\7", 0, ("an AppleDouble file", "recolor the file of the same name without ._")),
)
_UNSUPPORTED_SUFFIXES: dict[str, _Kind] = {
    suffix: kind
    for suffixes, kind in (
        (".heic .heif .hif", _HEIC),
        (".pdf", _PDF),
        (".ps .eps", _POSTSCRIPT),
        (".psd .psb", _PHOTOSHOP),
        (".jxl", _JPEG_XL),
        (".jls", JPEG_LS),
        (".djvu .djv", _DJVU),
        (".svg .svgz", _SVG),
        (".dng .cr2 .cr3 .nef .nrw .arw .srf .sr2 .raf .rw2 .orf .pef .srw .x3f .iiq .3fr", RAW),
    )
    for suffix in suffixes.split()
} | dict.fromkeys(FILM_SUFFIXES, _FILM)


def unsupported_format(data: bytes) -> InputError | None:
    """Return an error that names the format of a file, if it is a known one that is not read."""
    # The first bytes of other formats may read as the size of a box that is as large as the file.
    if data.startswith(b"ftyp", 4) and b"avif" in data[8 : int.from_bytes(data[:4])]:
        return None  # HEIC shares its first brand with some AVIFs
    for signature, offset, kind in _UNSUPPORTED_SIGNATURES:
        if data.startswith(signature, offset):
            return unsupported_kind(kind)
    head = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<!doctype html", b"<html")):
        return unsupported_kind(_WEB_PAGE)
    if head.startswith((b"<svg", b"<?xml", b"<!doctype svg")) and b"<svg" in head:
        return unsupported_kind(_SVG)
    return None


def unsupported_suffix(suffix: str) -> InputError | None:
    """Return the error of `unsupported_format` by a file-name ending such as ``.heic``."""
    kind = _UNSUPPORTED_SUFFIXES.get(suffix.lower())
    return unsupported_kind(kind) if kind else None


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


def unsupported_kind(kind: _Kind) -> InputError:
    """Return the error for a file of a kind that is not read, such as `RAW`."""
    name, advice = kind
    if kind in (_FILM, _WEB_PAGE):
        return InputError(f"it is {name}, not a picture", advice)
    return InputError(f"it is {name}, which cannot be read", advice)
