"""Add how a result was made to the XMP packet of its source.

References
----------
ISO 16684-1 (XMP, part 1). Adobe XMP specification, part 2. IPTC Photo Metadata Standard 2025.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from xml.dom import XMLNS_NAMESPACE, Node, minidom

from recolor_cli.image.provenance import DIGITAL_SOURCE_TYPE, PROGRAM, Provenance
from recolor_cli.image.xmp_document import (
    EMPTY,
    RDF,
    Property,
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
from recolor_cli.image.xmp_reader import IPTC, MEDIA, NAMESPACE, REFERENCE, XMP, read_provenance

_PREFIXES = {
    "rdf": RDF,
    "xmp": XMP,
    "xmpMM": MEDIA,
    "stRef": REFERENCE,
    "Iptc4xmpExt": IPTC,
    PROGRAM: NAMESPACE,
}
_EMPTY_PACKET = (
    f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n{EMPTY}\n<?xpacket end="w"?>'
)
_SOURCE_TYPE = (IPTC, "DigitalSourceType")
# Standard properties that a result has only once. Those of the source move to `_REPLACED`.
_OWN_STANDARD = {
    (XMP, "CreatorTool"),
    (MEDIA, "DerivedFrom"),
    _SOURCE_TYPE,
    (IPTC, "AISystemUsed"),
    (IPTC, "AISystemVersionUsed"),
}
_REPLACED = "SourceProperties"


def add_provenance(packet: bytes, provenance: Provenance) -> bytes:
    """Return a packet with all that it holds and how the result was made.

    Parameters
    ----------
    packet : bytes
        That of the source, or nothing.
    provenance : Provenance

    Returns
    -------
    bytes
        In UTF-8. Properties of the source that cannot stay, because a result has its own, become
        fields of ``recolor:SourceProperties``.

    Raises
    ------
    XmpError
        If the packet is not XMP.
    """
    document = parse_packet(packet or _EMPTY_PACKET.encode())
    rdf = find_rdf(document)
    _append_facts(rdf, provenance, list(_take_properties(rdf, _is_own)))
    return serialize(document)


def remove_provenance(packet: bytes) -> bytes:
    """Return the packet of a result without how it was made, which does not hold for the next one.

    That a machine made it still holds, and stays. So do the properties of its source. The packet of
    another picture is returned unchanged, and so is one that cannot be parsed.
    """
    if read_provenance(packet) is None:
        return packet
    try:
        document = parse_packet(packet)
        list(_take_properties(find_rdf(document), _tells_how_made))
    except XmpError:
        return packet
    return serialize(document)


def _append_facts(
    rdf: minidom.Element, provenance: Provenance, replaced: list[minidom.Element]
) -> None:
    own, provenance = append_description(rdf, about_of(rdf)), provenance.with_version()
    for prefix, uri in _PREFIXES.items():
        own.setAttributeNS(XMLNS_NAMESPACE, f"xmlns:{prefix}", uri)
    texts = {
        "Iptc4xmpExt:DigitalSourceType": DIGITAL_SOURCE_TYPE,
        "Iptc4xmpExt:AISystemUsed": f"{PROGRAM}, model {provenance.model}",
        "Iptc4xmpExt:AISystemVersionUsed": provenance.version,
        "xmp:CreatorTool": f"{PROGRAM} {provenance.version}",
        "recolor:Version": provenance.version,
        "recolor:Model": provenance.model,
        "recolor:ModelDigest": provenance.model_digest,
        "recolor:SourceDigest": provenance.source_digest,
    }
    for name, text in texts.items():
        if text:
            _append(own, name, text)
    if provenance.source:
        derived = _append(own, "xmpMM:DerivedFrom")
        derived.setAttributeNS(RDF, "rdf:parseType", "Resource")
        _append(derived, "stRef:filePath", provenance.source)
    bag = _append(_append(own, "recolor:Options"), "rdf:Bag")
    for name, value in provenance.options:
        _append(bag, "rdf:li", f"{name}={value}" if value else name)
    if replaced:
        former = _append(own, f"recolor:{_REPLACED}")
        former.setAttributeNS(RDF, "rdf:parseType", "Resource")
        for node in replaced:
            former.appendChild(node)


def _take_properties(
    rdf: minidom.Element, is_taken: Callable[[Property], bool]
) -> Iterator[minidom.Element]:
    """Remove some properties, and yield them as elements."""
    for description in elements_of(rdf):
        taken = [node for node in properties_of(description) if is_taken(node)]
        for node in taken:
            if isinstance(node, minidom.Attr):
                description.removeAttributeNode(node)
                yield _element(rdf, str(node.namespaceURI), node.name, node.value)
            else:
                declare_prefixes(node)
                yield description.removeChild(node)
        if taken and _is_empty(description):
            rdf.removeChild(description)


def _is_own(node: Property) -> bool:
    name = (node.namespaceURI, node.localName)
    return node.namespaceURI == NAMESPACE or name in _OWN_STANDARD


def _tells_how_made(node: Property) -> bool:
    """Tell whether a property of a result holds for that result alone."""
    name = (node.namespaceURI, node.localName)
    return _is_own(node) and name not in (_SOURCE_TYPE, (NAMESPACE, _REPLACED))


def _is_empty(description: minidom.Element) -> bool:
    is_blank = all(
        child.nodeType == Node.TEXT_NODE and not child.data.strip()
        for child in description.childNodes
    )
    return is_blank and all(
        node.namespaceURI == XMLNS_NAMESPACE or node.localName == "about"
        for node in description.attributes.values()
    )


def _append(parent: minidom.Element, name: str, text: str = "") -> minidom.Element:
    """Append an element, whose prefix is one of ours."""
    child = _element(parent, _PREFIXES[name.partition(":")[0]], name, text)
    parent.appendChild(child)
    return child


def _element(near: minidom.Element, namespace: str, name: str, text: str = "") -> minidom.Element:
    """Make an element that declares its own prefix, unless it is one of ours."""
    document = near.ownerDocument
    assert document
    element = document.createElementNS(namespace, name)
    prefix = name.partition(":")[0]
    if _PREFIXES.get(prefix) != namespace:
        element.setAttributeNS(XMLNS_NAMESPACE, f"xmlns:{prefix}", namespace)
    if text:
        element.appendChild(document.createTextNode(text))
    return element
