"""XMP packets as documents: parsed and written with everything that is in them.

A packet is RDF in XML: elements ``rdf:Description``, whose attributes or children are properties.
Comments, processing instructions and prefixes stay.

References
----------
ISO 16684-1 (XMP, part 1).
"""

from __future__ import annotations

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from typing import Any
from xml.dom import XMLNS_NAMESPACE, Node, minidom
from xml.parsers.expat import ExpatError

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
EMPTY = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}"></rdf:RDF></x:xmpmeta>'
Property = minidom.Element | minidom.Attr
_W3C = "http://www.w3.org/"  # namespaces of RDF and XML begin so
_MOST_DEPTH = 200  # elements in each other; minidom walks them by recursion
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_ATTRIBUTE_ESCAPES = _ESCAPES | str.maketrans({'"': "&quot;", "\n": "&#10;", "\t": "&#9;"})


class XmpError(ValueError):
    """A packet cannot be parsed."""


def parse_packet(packet: bytes) -> minidom.Document:
    """Parse a packet, of any encoding of XML.

    Raises
    ------
    XmpError
        If it is not XML, declares a document type, or has elements that lie too deep in each other.
    """
    try:
        document = minidom.parseString(without_padding(packet))
    except (ExpatError, ValueError, LookupError) as error:
        raise XmpError(f"it is not XML: {error}") from error
    if document.doctype:  # XMP has none, and entities may be bombs
        raise XmpError("it declares a document type")
    level: list[minidom.Node] = [document]
    for _ in range(_MOST_DEPTH):
        level = [child for node in level for child in node.childNodes]
    if level:
        raise XmpError("its elements lie too deep in each other")
    return document


def without_padding(packet: bytes) -> bytes:
    """Return a packet without what may stand around it; some programs pad with NUL."""
    is_utf_16 = b"\0" in packet[:2] or packet[:2] in (BOM_UTF16_LE, BOM_UTF16_BE)
    return packet if is_utf_16 else packet.strip(b"\0 \t\r\n")


def find_rdf(document: minidom.Document) -> minidom.Element:
    """Return the element that holds all descriptions; raises `XmpError` if there is none."""
    rdf = next(iter(document.getElementsByTagNameNS(RDF, "RDF")), None)
    if rdf is None:
        raise XmpError("it holds no RDF")
    return rdf


def elements_of(parent: minidom.Element) -> list[minidom.Element]:
    """Return the elements that lie right in another."""
    return [child for child in parent.childNodes if child.nodeType == Node.ELEMENT_NODE]


def properties_of(description: minidom.Element) -> list[Property]:
    """Return the properties of a description, as elements and as attributes.

    RDF's own attributes, and declarations of namespaces, are no properties.
    """
    attributes = [
        node
        for node in description.attributes.values()
        if node.namespaceURI and not node.namespaceURI.startswith(_W3C)
    ]
    return [*elements_of(description), *attributes]


def about_of(rdf: minidom.Element) -> str:
    """Return the name of the resource that is described, which is usually empty."""
    found = (
        node.getAttributeNS(RDF, "about") or node.getAttribute("about") for node in elements_of(rdf)
    )
    return next(filter(None, found), "")


def append_description(rdf: minidom.Element, about: str) -> minidom.Element:
    """Append an empty description of a resource."""
    document = rdf.ownerDocument
    assert document
    description = document.createElementNS(RDF, "rdf:Description")
    description.setAttributeNS(XMLNS_NAMESPACE, "xmlns:rdf", RDF)
    description.setAttributeNS(RDF, "rdf:about", about)
    rdf.appendChild(description)
    return description


def declare_prefixes(element: minidom.Element) -> None:
    """Copy the declarations of prefixes that an element uses, so that it can be moved."""
    nodes = [element, *element.getElementsByTagName("*")]
    used = {node.prefix for node in nodes}
    used |= {attribute.prefix for node in nodes for attribute in node.attributes.values()}
    for prefix in used:
        name = f"xmlns:{prefix}" if prefix else "xmlns"
        node = element.parentNode
        while isinstance(node, minidom.Element) and not element.hasAttribute(name):
            if node.hasAttribute(name):
                element.setAttributeNS(XMLNS_NAMESPACE, name, node.getAttribute(name))
            node = node.parentNode


def serialize(node: minidom.Node) -> bytes:
    """Write a document, an element or the value of an attribute in UTF-8."""
    return _write(node).encode()


def _write(node: Any) -> str:
    """Write a node. minidom's own writer loses line breaks in attributes in Python 3.11.2."""
    kind = node.nodeType
    if kind == Node.ATTRIBUTE_NODE:
        return str(node.value.translate(_ATTRIBUTE_ESCAPES))
    if kind == Node.TEXT_NODE:
        return str(node.data.translate(_ESCAPES))
    if kind == Node.CDATA_SECTION_NODE:
        return f"<![CDATA[{node.data}]]>"
    if kind == Node.COMMENT_NODE:
        return f"<!--{node.data}-->"
    if kind == Node.PROCESSING_INSTRUCTION_NODE:
        return f"<?{node.target} {node.data}?>"
    inside = "".join(map(_write, node.childNodes))
    if kind == Node.DOCUMENT_NODE:
        return inside
    attributes = "".join(f' {each.name}="{_write(each)}"' for each in node.attributes.values())
    return f"<{node.tagName}{attributes}>{inside}</{node.tagName}>"
