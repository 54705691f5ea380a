"""Find the XMP packet of a file by its header, and read from it how the file was made.

The codecs read the metadata of whole files in memory, with libraries that take a third of a second
to load. A run that skips 200,000 results needs neither.

References
----------
Adobe XMP specification, part 3 (storage in files). TIFF 6.0, section 2. ISO/IEC 15444-1, annex I
(boxes of JPEG 2000).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO
from xml.etree import ElementTree

from recolor_cli.errors import InputError
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.provenance import Provenance
from recolor_cli.image.xmp_document import RDF, without_padding

NAMESPACE = "urn:x-recolor:1.0/"
XMP = "http://ns.adobe.com/xap/1.0/"
MEDIA = "http://ns.adobe.com/xap/1.0/mm/"
REFERENCE = "http://ns.adobe.com/xap/1.0/sType/ResourceRef#"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"

_LIMIT = 16 << 20  # bytes of a packet
_AVIF_HEAD = 1 << 16  # bytes
_BUFFER = 4096  # bytes
# The bytes that announce XMP in each format.
JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
JP2_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_PNG_XMP = b"XML:com.adobe.xmp\0\0\0\0\0"  # uncompressed, without a language
_TIFF_XMP = 700  # a tag
_GIF_XMP = b"XMP DataXMP"
GIF_XMP_END = b"\1" + bytes(range(255, -1, -1)) + b"\0"
"""The bytes behind the XMP of a GIF: wherever a decoder enters, they lead it to the end."""


def read_xmp(path: str) -> bytes:
    """Return the XMP packet of a picture, or nothing if there is none or the file is broken."""
    try:
        with open(path, "rb", buffering=_BUFFER) as file:  # noqa: PTH123, half the time of Path.open
            head = file.read(16)
            image_format = ImageFormat.of_data(head)
            find = _FINDERS.get(image_format) if image_format else None
            file.seek(0)
            return find(file) if find else b""
    except (OSError, ValueError, struct.error, IndexError, InputError):
        return b""


def read_provenance(packet: bytes) -> Provenance | None:
    """Return how a result was made, or None if its packet does not tell or cannot be parsed."""
    if NAMESPACE.encode() not in packet:  # most packets, without parsing them
        return None
    try:
        root = ElementTree.fromstring(without_padding(packet))
    except (ElementTree.ParseError, ValueError, LookupError):
        return None
    found: dict[str, Any] = {}  # elements, or texts of attributes
    for rdf in root.iter(f"{{{RDF}}}RDF"):
        for description in rdf.iterfind(f"{{{RDF}}}Description"):
            found |= {child.tag: child for child in description}
            found |= description.attrib

    def text(namespace: str, name: str) -> str:
        node = found.get(f"{{{namespace}}}{name}", "")
        return node if isinstance(node, str) else (node.text or "")

    derived = found.get(f"{{{MEDIA}}}DerivedFrom")
    options = found.get(f"{{{NAMESPACE}}}Options")
    if not text(NAMESPACE, "Version"):
        return None
    return Provenance(
        source="" if derived is None or isinstance(derived, str) else _file_path(derived),
        source_digest=text(NAMESPACE, "SourceDigest"),
        model=text(NAMESPACE, "Model"),
        model_digest=text(NAMESPACE, "ModelDigest"),
        version=text(NAMESPACE, "Version"),
        options=() if options is None or isinstance(options, str) else tuple(_options(options)),
    )


def _file_path(derived: ElementTree.Element) -> str:
    """Return the file of a reference, which other programs rewrite in several forms."""
    name = f"{{{REFERENCE}}}filePath"
    for node in derived.iter():
        if found := node.get(name) or (node.text if node.tag == name else ""):
            return found
    return ""


def _options(bag: ElementTree.Element) -> Iterator[tuple[str, str]]:
    for item in bag.iter(f"{{{RDF}}}li"):
        name, _, value = (item.text or "").partition("=")
        yield name, value


def _in_jpeg(file: BinaryIO) -> bytes:
    file.seek(2)
    while len(head := file.read(4)) == 4 and head[0] == 0xFF:
        marker, size = head[1], max(int.from_bytes(head[2:]) - 2, 0)
        if marker == 0xDA:  # pixels follow
            return b""
        if marker == 0xE1:
            content = file.read(size)
            if content.startswith(JPEG_XMP):
                return content.removeprefix(JPEG_XMP)
        else:
            file.seek(size, 1)
    return b""


def _in_png(file: BinaryIO) -> bytes:
    file.seek(8)
    while len(head := file.read(8)) == 8:
        size, name = struct.unpack(">I4s", head)
        if name == b"iTXt" and size <= _LIMIT:
            content = file.read(size)
            if content.startswith(_PNG_XMP):
                return content.removeprefix(_PNG_XMP)
            file.seek(4, 1)
        elif name == b"IDAT":
            return b""
        else:
            file.seek(size + 4, 1)
    return b""


def _in_webp(file: BinaryIO) -> bytes:
    file.seek(12)
    while len(head := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", head)
        if name == b"XMP ":
            return file.read(min(size, _LIMIT))
        file.seek(size + size % 2, 1)
    return b""


def _in_tiff(file: BinaryIO) -> bytes:
    """Read the first directory of a TIFF or BigTIFF."""
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    is_big = head[2:4] in (b"+\0", b"\0+")
    number, start = ("Q", 8) if is_big else ("I", 4)
    (offset,) = struct.unpack_from(order + number, head, start)
    file.seek(offset)
    (count,) = struct.unpack(order + ("Q" if is_big else "H"), file.read(8 if is_big else 2))
    entry = struct.Struct(f"{order}HH{number}{number}")
    records = file.read(min(count, 1 << 16) * entry.size)
    for tag, _, size, place in entry.iter_unpack(records):
        if tag == _TIFF_XMP and size <= _LIMIT:
            file.seek(place)
            return file.read(size)
    return b""


def _in_jpeg_2000(file: BinaryIO) -> bytes:
    while len(head := file.read(8)) == 8:
        size, name = struct.unpack(">I4s", head)
        if name == b"jp2c" or size < 8:  # pixels follow, or the box is larger than 32 bits tell
            return b""
        if name == b"uuid" and size <= _LIMIT:
            content = file.read(size - 8)
            if content.startswith(JP2_XMP):
                return content.removeprefix(JP2_XMP)
        else:
            file.seek(size - 8, 1)
    return b""


def _in_gif(file: BinaryIO) -> bytes:
    flags = file.read(13)[10]
    file.seek(3 << ((flags & 7) + 1) if flags & 0x80 else 0, 1)
    while len(head := file.read(3)) == 3 and head[0] == 0x21:  # an extension
        content = file.read(head[2])
        if content == _GIF_XMP:
            packet, end, _ = file.read(_LIMIT).partition(GIF_XMP_END)
            return packet if end else b""
        while size := file.read(1)[0]:
            file.seek(size, 1)
    return b""


def _in_avif(file: BinaryIO) -> bytes:
    """Let libavif find it. Pixels, in front of which it usually lies, are not read then."""
    from PIL import Image  # here, because loading it takes as long as skipping many pictures

    from recolor_cli.image.failures import decoder_errors

    packet, size = b"", file.seek(0, io.SEEK_END)
    for length in (_AVIF_HEAD, size):
        file.seek(0)
        data = file.read(length).ljust(size, b"\0")
        with decoder_errors(), Image.open(io.BytesIO(data), formats=["AVIF"]) as image:
            packet = bytes(image.info.get("xmp", b""))
        if not packet.endswith(b"\0"):  # else some of it lies behind the head
            break
    return packet


_FINDERS: dict[ImageFormat, Callable[[BinaryIO], bytes]] = {
    ImageFormat.JPEG: _in_jpeg,
    ImageFormat.PNG: _in_png,
    ImageFormat.WEBP: _in_webp,
    ImageFormat.TIFF: _in_tiff,
    ImageFormat.AVIF: _in_avif,
    ImageFormat.JPEG2000: _in_jpeg_2000,
    ImageFormat.GIF: _in_gif,
}
