"""XMP of more than 64 kB in JPEG: the packet, and an extension in further segments.

References
----------
Adobe XMP specification, part 3 (2020), section 1.1.3.1: extended XMP in JPEG.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from xml.dom import XMLNS_NAMESPACE, minidom

from recolor_cli.image.xmp_document import (
    EMPTY,
    XmpError,
    about_of,
    append_description,
    declare_prefixes,
    elements_of,
    find_rdf,
    parse_packet,
    properties_of,
    serialize,
)

EXTENSION_HEAD = b"http://ns.adobe.com/xmp/extension/\0"
_NOTE = "http://ns.adobe.com/xmp/note/"
_MOST_PACKET, _MOST_PART = 65_502, 65_400  # bytes in a segment
_ROOM_FOR_NOTE = 200  # bytes
_GUID_SIZE = 32


def join_extension(packet: bytes, segments: Iterable[bytes]) -> bytes:
    """Return a packet with the properties of its extension.

    Parameters
    ----------
    packet : bytes
        As the file holds it.
    segments : iterable of bytes
        Contents of the segments that begin with `EXTENSION_HEAD`.

    Returns
    -------
    bytes
        Without the note that there is an extension. If the extension is not whole, nothing of it is
        taken. A packet that has no note, or that is broken, stays as it is.
    """
    if _NOTE.encode() not in packet:
        return packet
    try:
        document = parse_packet(packet)
        rdf = find_rdf(document)
    except XmpError:
        return packet
    for description in _descriptions(_assemble(_take_note(rdf), segments)):
        declare_prefixes(description)
        rdf.appendChild(document.importNode(description, True))
    return serialize(document)


def split_extension(packet: bytes) -> tuple[bytes, list[bytes]]:
    """Split a packet into one that a JPEG segment holds and an extension.

    The largest properties go into the extension, because many programs read no other XMP than the
    packet.

    Returns
    -------
    packet : bytes
        At most 65,502 bytes.
    segments : list of bytes
        Contents of the segments of the extension, none if all fits.

    Raises
    ------
    XmpError
        If the packet is broken and too large.
    """
    if len(packet) <= _MOST_PACKET:
        return packet, []
    document = parse_packet(packet)
    rdf, other = find_rdf(document), parse_packet(EMPTY.encode())
    target = append_description(find_rdf(other), about_of(rdf))
    left = len(serialize(document)) - _MOST_PACKET + _ROOM_FOR_NOTE
    properties = (
        (len(serialize(node)), description, node)
        for description in elements_of(rdf)
        for node in properties_of(description)
    )
    for size, description, node in sorted(properties, key=lambda found: -found[0]):
        if left <= 0:
            break
        if isinstance(node, minidom.Attr):
            description.removeAttributeNode(node)
            element = document.createElementNS(node.namespaceURI, node.name)
            element.setAttributeNS(XMLNS_NAMESPACE, f"xmlns:{node.prefix}", str(node.namespaceURI))
            element.appendChild(document.createTextNode(node.value))
        else:
            declare_prefixes(node)
            element = description.removeChild(node)
        target.appendChild(other.importNode(element, True))
        left -= size
    extension = serialize(other)
    guid = hashlib.md5(extension, usedforsecurity=False).hexdigest().upper()
    note = append_description(rdf, about_of(rdf))
    note.setAttributeNS(XMLNS_NAMESPACE, "xmlns:xmpNote", _NOTE)
    note.setAttributeNS(_NOTE, "xmpNote:HasExtendedXMP", guid)
    packet = serialize(document)
    if len(packet) > _MOST_PACKET:
        raise XmpError("it is too large in parts that are no properties")
    head = EXTENSION_HEAD + guid.encode()
    return packet, [
        head + struct.pack(">II", len(extension), at) + extension[at : at + _MOST_PART]
        for at in range(0, len(extension), _MOST_PART)
    ]


def _descriptions(extension: bytes) -> list[minidom.Element]:
    """Return the descriptions of an extension, none if it is broken."""
    try:
        return elements_of(find_rdf(parse_packet(extension)))
    except XmpError:
        return []


def _take_note(rdf: minidom.Element) -> str:
    """Remove the note, and return the number of the extension, or nothing."""
    guid = ""
    for description in elements_of(rdf):
        if description.hasAttributeNS(_NOTE, "HasExtendedXMP"):
            guid = description.getAttributeNS(_NOTE, "HasExtendedXMP")
            description.removeAttributeNS(_NOTE, "HasExtendedXMP")
        for element in elements_of(description):
            if (element.namespaceURI, element.localName) == (_NOTE, "HasExtendedXMP"):
                guid = str(element.firstChild.nodeValue) if element.firstChild else ""
                description.removeChild(element)
    return guid.strip()


def _assemble(guid: str, segments: Iterable[bytes]) -> bytes:
    """Return the extension of a number, or nothing if it is not whole."""
    head = EXTENSION_HEAD + guid.encode()
    parts: dict[int, bytes] = {}
    size = 0
    for segment in segments:
        if segment.startswith(head) and len(segment) >= len(head) + 8:
            size, offset = struct.unpack_from(">II", segment, len(head))
            parts[offset] = segment[len(head) + 8 :]
    found = b"".join(part for _, part in sorted(parts.items()))
    return found if len(guid) == _GUID_SIZE and len(found) == size else b""
