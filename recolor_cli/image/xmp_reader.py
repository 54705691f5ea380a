"""Find the XMP packet of a file by its header, and read from it how the file was made.

The codecs read the metadata of whole files in memory, with libraries that take a third of a second
to load. A run that skips 200,000 results needs neither.

References
----------
Adobe XMP specification, part 3 (storage in files). TIFF 6.0, section 2. ISO/IEC 14496-12 (boxes).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO
from xml.etree import ElementTree

from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.provenance import Provenance
from recolor_cli.image.xmp_document import RDF, without_padding

NAMESPACE = "urn:x-recolor:1.0/"
XMP = "http://ns.adobe.com/xap/1.0/"
MEDIA = "http://ns.adobe.com/xap/1.0/mm/"
REFERENCE = "http://ns.adobe.com/xap/1.0/sType/ResourceRef#"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"

_LIMIT = 16 << 20  # bytes of a packet, or of the boxes that lead to one
_BUFFER = 4096  # bytes
_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_PNG_XMP = b"XML:com.adobe.xmp\0\0\0\0\0"  # uncompressed, without a language
_JP2_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_TIFF_XMP = 700
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
    except (OSError, ValueError, struct.error, IndexError):
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
            if content.startswith(_JPEG_XMP):
                return content.removeprefix(_JPEG_XMP)
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
    count = _unpack(file, order + ("Q" if is_big else "H"))
    entry = struct.Struct(f"{order}HH{number}{number}")
    records = file.read(min(count, 1 << 16) * entry.size)
    for tag, _, size, place in entry.iter_unpack(records):
        if tag == _TIFF_XMP and size <= _LIMIT:
            file.seek(place)
            return file.read(size)
    return b""


def _in_jpeg_2000(file: BinaryIO) -> bytes:
    for name, size in _boxes(file):
        if name == b"uuid" and size <= _LIMIT:
            content = file.read(size)
            if content.startswith(_JP2_XMP):
                return content.removeprefix(_JP2_XMP)
        elif name == b"jp2c":  # pixels follow
            return b""
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
    """Read the item of the box ``meta`` whose content type is that of XMP."""
    for name, size in _boxes(file):
        if name == b"meta" and size <= _LIMIT:
            end = file.tell() + size
            file.seek(4, 1)  # version and flags
            places = {inner: file.tell() for inner, _ in _boxes(file, end)}
            file.seek(places.get(b"iinf", end))
            item = _xmp_item(file)
            file.seek(places.get(b"iloc", end))
            return _item(file, item) if item is not None else b""
    return b""


def _boxes(file: BinaryIO, end: int | None = None) -> Iterator[tuple[bytes, int]]:
    """Yield name and size of each box, with the file at its content; go on behind it."""
    at = file.tell()
    while (end is None or at < end) and len(head := file.read(8)) == 8:
        size, name = struct.unpack(">I4s", head)
        begin = at + 8
        if size == 1:
            size, begin = _unpack(file, ">Q"), at + 16
        if size and at + size < begin:
            return
        yield name, at + size - begin if size else _LIMIT + 1  # 0: up to the end of the file
        if not size:
            return
        at += size
        file.seek(at)


def _xmp_item(file: BinaryIO) -> int | None:
    """Return the number of the XMP item, with the file in a box ``iinf``."""
    version = file.read(4)[0]
    count = _unpack(file, ">H" if version == 0 else ">I")
    entries = _boxes(file)
    for _ in range(count):
        name, size = next(entries, (b"", 0))
        content = file.read(min(size, 256))
        if name != b"infe" or content[0] < 2:
            return None
        wide = content[0] > 2
        kind = content[10:14] if wide else content[8:12]
        if kind == b"mime" and b"\0application/rdf+xml\0" in content:
            return int.from_bytes(content[4:8] if wide else content[4:6])
    return None


def _item(file: BinaryIO, wanted: int) -> bytes:
    """Return the content of an item that lies in the file in one piece, by its box ``iloc``."""
    version = file.read(4)[0]
    sizes = file.read(2)
    offset_size, length_size = sizes[0] >> 4, sizes[0] & 15
    base_size, index_size = sizes[1] >> 4, sizes[1] & 15 if version else 0
    number = ">I" if version == 2 else ">H"
    for _ in range(_unpack(file, number)):
        item = _unpack(file, number)
        method = _unpack(file, ">H") & 15 if version else 0
        file.seek(2, 1)  # in this file
        base = int.from_bytes(file.read(base_size))
        extents = []
        for _ in range(_unpack(file, ">H")):
            file.seek(index_size, 1)
            offset = base + int.from_bytes(file.read(offset_size))
            extents.append((offset, int.from_bytes(file.read(length_size))))
        if item == wanted:
            if method or len(extents) != 1 or extents[0][1] > _LIMIT:
                return b""
            file.seek(extents[0][0])
            return file.read(extents[0][1])
    return b""


def _unpack(file: BinaryIO, code: str) -> int:
    (number,) = struct.unpack(code, file.read(struct.calcsize(code)))
    return int(number)


_FINDERS: dict[ImageFormat, Callable[[BinaryIO], bytes]] = {
    ImageFormat.JPEG: _in_jpeg,
    ImageFormat.PNG: _in_png,
    ImageFormat.WEBP: _in_webp,
    ImageFormat.TIFF: _in_tiff,
    ImageFormat.AVIF: _in_avif,
    ImageFormat.JPEG2000: _in_jpeg_2000,
    ImageFormat.GIF: _in_gif,
}
