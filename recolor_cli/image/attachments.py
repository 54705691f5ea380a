"""Attachments of pictures: gain maps, videos, depth maps and further pictures, as phones add them.

They show the picture as it was, so a result has none of them. XMP announces them to programs, so
the XMP of a result must not.

References
----------
Ultra HDR image format 1.1 and Motion Photo format 1.0 (Android), Adobe gain map 1.0, dynamic depth
1.0 (Google), CIPA DC-007 (multi-picture format).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from xml.dom import minidom

from recolor_cli.image.xmp_document import (
    Property,
    XmpError,
    parse_packet,
    properties_of,
    serialize,
)
from recolor_cli.system.texts import listed

GAIN_MAP = "its gain map (HDR)"
VIDEO = "its video (motion photo)"
DEPTH_MAP = "its depth map"
SOUND = "its sound"
OTHER_EYE = "the picture of the other eye"
FURTHER = "its further pictures"
_BROKEN = "its XMP, which is broken,"

_GOOGLE = "http://ns.google.com/photos/"
_NAMESPACES = {
    "http://ns.adobe.com/hdr-gain-map/1.0/": GAIN_MAP,
    "http://ns.apple.com/HDRGainMap/1.0/": GAIN_MAP,
    "http://ns.apple.com/pixeldatainfo/1.0/": GAIN_MAP,
    f"{_GOOGLE}1.0/depthmap/": DEPTH_MAP,
    f"{_GOOGLE}1.0/focus/": DEPTH_MAP,
    f"{_GOOGLE}dd/1.0/": DEPTH_MAP,  # and those that begin so
    f"{_GOOGLE}1.0/image/": OTHER_EYE,
    f"{_GOOGLE}1.0/audio/": SOUND,
    f"{_GOOGLE}1.0/container/": "",  # a list of all of them
}
_VIDEO_PROPERTIES = ("MotionPhoto", "MicroVideo", "VideoLength")  # in makers' own namespaces
_SEMANTICS = {"GainMap": GAIN_MAP, "MotionPhoto": VIDEO, "Depth": DEPTH_MAP, "DepthMap": DEPTH_MAP}


def remove_claims(packet: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Remove the properties that announce attachments from XMP.

    Parameters
    ----------
    packet : bytes
        XMP, or nothing.

    Returns
    -------
    packet : bytes
        Unchanged if it announces none; empty if it announces some and is broken.
    names : tuple of str
        The attachments, each once.
    """
    hints = (*_NAMESPACES, *_VIDEO_PROPERTIES)
    if not any(hint.encode() in packet for hint in hints):
        return packet, ()
    try:
        document = parse_packet(packet)
    except XmpError:
        return b"", (_BROKEN,)
    names: dict[str, None] = {}
    for description in document.getElementsByTagNameNS("*", "Description"):
        for node in properties_of(description):
            found = _name_of(node)
            if found is None:
                continue
            names |= dict.fromkeys([found, *_names_within(node)])
            if isinstance(node, minidom.Attr):
                description.removeAttributeNode(node)
            else:
                description.removeChild(node)
    if not names:
        return packet, ()
    names.pop("", None)
    return serialize(document), tuple(names)


def say_left_out(names: Iterable[str]) -> str:
    """Return a warning that attachments are left out, or nothing if there are none."""
    found = [*dict.fromkeys(names)]
    if FURTHER in found and {GAIN_MAP, DEPTH_MAP, OTHER_EYE} & {*found}:
        found.remove(FURTHER)  # the same in other words
    if not found:
        return ""
    is_one = len(found) == 1 and found[0] != FURTHER
    return f"{listed(found)} {'is' if is_one else 'are'} left out"


def _name_of(node: Property) -> str | None:
    """Return the attachment that a property tells of, which may be empty; None if of none."""
    namespace = node.namespaceURI or ""
    if str(node.localName).startswith(_VIDEO_PROPERTIES):
        return VIDEO
    return next((what for start, what in _NAMESPACES.items() if namespace.startswith(start)), None)


def _names_within(node: Property) -> Iterator[str]:
    if isinstance(node, minidom.Element):
        for item in node.getElementsByTagName("*"):
            values = [attribute.value for attribute in item.attributes.values()]
            if item.localName == "Semantic" and item.firstChild:
                values.append(item.firstChild.nodeValue or "")
            yield from (_SEMANTICS[value] for value in values if value in _SEMANTICS)
