"""How a result was made, in the XMP of its source."""

from xml.etree import ElementTree

import pytest

from recolor_cli.image.provenance import DIGITAL_SOURCE_TYPE, Provenance
from recolor_cli.image.xmp import add_provenance, remove_provenance
from recolor_cli.image.xmp_document import RDF, XmpError
from recolor_cli.image.xmp_reader import IPTC, MEDIA, NAMESPACE, XMP, read_provenance

MADE = Provenance(
    source="räel & <one>.tif",
    source_digest="12-ab",
    model="poster",
    model_digest="a" * 64,
    version="1.2",
    options=(("hint", "1,2,#ff0000; a=b"), ("only-gray", ""), ("strength", "1.5")),
)
# Other prefixes than ours, attributes and elements, CDATA, line breaks of all kinds.
SOURCE = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<!-- from the archive -->
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="one&#10;two&#9;three">
 <r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <r:Description r:about="uuid:7" xmlns:y="http://ns.adobe.com/xap/1.0/" y:Rating="3"
    y:CreatorTool="Scanner&#13;&#10;2" xmlns:dc="http://purl.org/dc/elements/1.1/">
   <dc:description><r:Alt><r:li xml:lang="x-default">a&#13;
b &amp; <![CDATA[<c>]]></r:li></r:Alt></dc:description><?note keep?>
  </r:Description>
  <r:Description r:about="uuid:7" xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmlns:m="http://ns.adobe.com/xap/1.0/mm/"
    xmlns:s="http://ns.adobe.com/xap/1.0/sType/ResourceRef#">
   <i:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/print</i:DigitalSourceType>
   <m:DerivedFrom s:documentID="xmp.did:1"/>
  </r:Description>
 </r:RDF>
</x:xmpmeta>
   \t
<?xpacket end="w"?>""".encode()
BROKEN = {
    "nothing of it": b"once upon a time",
    "cut off": SOURCE[: len(SOURCE) // 2],
    "not well-formed": SOURCE.replace(b'y:Rating="3"', b"y:Rating=3"),
    "latin-1": SOURCE.replace(b"archive", b"archi\xe9ve"),
    "another XML": b"<svg/>",
    "a document type": b'<!DOCTYPE x [<!ENTITY a "b">]><x/>',
    "deep": SOURCE.replace(b"<![CDATA[<c>]]>", b"<a>" * 5000 + b"</a>" * 5000),
}


def properties(packet: bytes) -> dict[str, list[ElementTree.Element | str]]:
    """Return the properties of the resource by their names, each with all its values."""
    found: dict[str, list] = {}
    (rdf,) = ElementTree.fromstring(packet).iter(f"{{{RDF}}}RDF")
    for description in rdf:
        for name, value in description.attrib.items():
            found.setdefault(name, []).append(value)
        for child in description:
            found.setdefault(child.tag, []).append(child)
    return found


def test_without_xmp_there_is_a_new_packet():
    packet = add_provenance(b"", MADE)
    assert read_provenance(packet) == MADE
    assert packet.startswith(b"<?xpacket begin=")
    assert packet.endswith(b'<?xpacket end="w"?>')
    (kind,) = properties(packet)[f"{{{IPTC}}}DigitalSourceType"]
    assert kind.text == DIGITAL_SOURCE_TYPE
    assert properties(packet)[f"{{{XMP}}}CreatorTool"][0].text == "recolor 1.2"


def test_the_xmp_of_the_source_stays():
    packet = add_provenance(SOURCE, MADE)
    assert read_provenance(packet) == MADE
    for kept in (b"<!-- from the archive -->", b"<?note keep?>", b"<![CDATA[<c>]]>"):
        assert kept in packet
    assert b'x:xmptk="one&#10;two&#9;three"' in packet
    before, after = properties(SOURCE), properties(packet)
    for name, values in before.items():
        if name.endswith(("Rating", "about")):
            assert set(after[name]) == set(values)
    (text,) = after["{http://purl.org/dc/elements/1.1/}description"]
    assert "".join(text.itertext()) == "a\r\nb & <c>"
    assert set(after[f"{{{RDF}}}about"]) == {"uuid:7"}  # all describe the same


def test_what_a_result_has_of_its_own_moves_into_the_properties_of_the_source():
    after = properties(add_provenance(SOURCE, MADE))
    own = (f"{{{XMP}}}CreatorTool", f"{{{IPTC}}}DigitalSourceType", f"{{{MEDIA}}}DerivedFrom")
    assert [len(after[name]) for name in own] == [1, 1, 1]  # XMP has each property once
    (former,) = after[f"{{{NAMESPACE}}}SourceProperties"]
    tool, kind, derived = (former.find(name) for name in own)
    assert tool.text == "Scanner\r\n2"
    assert kind.text.endswith("/print")
    assert list(derived.attrib.values()) == ["xmp.did:1"]


def test_a_result_that_is_recolored_again_keeps_both_ways():
    first = add_provenance(SOURCE, MADE)
    again = Provenance(source="two.tif", model="film", version="1.3")
    packet = add_provenance(first, again)
    assert read_provenance(packet) == again
    (former,) = properties(packet)[f"{{{NAMESPACE}}}SourceProperties"]
    assert former.find(f"{{{NAMESPACE}}}Model").text == "poster"
    assert former.find(f".//{{{XMP}}}CreatorTool").text == "recolor 1.2"
    assert b"Scanner" in packet
    (rdf,) = ElementTree.fromstring(packet).iter(f"{{{RDF}}}RDF")
    assert len(rdf) == 2  # what became empty is gone


def test_a_result_can_lose_how_it_was_made_but_not_that_a_machine_made_it():
    packet = remove_provenance(add_provenance(SOURCE, MADE))
    assert read_provenance(packet) is None
    found = properties(packet)
    (kind,) = found[f"{{{IPTC}}}DigitalSourceType"]
    assert kind.text == DIGITAL_SOURCE_TYPE
    (former,) = found[f"{{{NAMESPACE}}}SourceProperties"]
    assert former.find(f"{{{XMP}}}CreatorTool").text == "Scanner\r\n2"
    for lost in (MADE.model, MADE.source_digest, "only-gray", "one"):
        assert lost.encode() not in packet.replace(b"one&#10;two", b"")
    assert remove_provenance(packet) == packet
    for other in (b"", SOURCE, *BROKEN.values()):
        assert remove_provenance(other) == other


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_packets_of_other_encodings_are_read(encoding):
    packet = add_provenance(SOURCE.decode().encode(encoding), MADE)
    assert read_provenance(packet) == MADE
    assert b"Scanner" in packet


def test_padding_of_zeros_is_no_fault():
    assert read_provenance(add_provenance(SOURCE + b"\0" * 9, MADE)) == MADE


@pytest.mark.parametrize("packet", BROKEN.values(), ids=BROKEN)
def test_what_is_no_xmp_is_refused(packet):
    with pytest.raises(XmpError):
        add_provenance(packet, MADE)
    assert read_provenance(packet + NAMESPACE.encode()) is None


def test_other_programs_may_write_properties_as_attributes():
    packet = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}">
      <rdf:Description rdf:about="" xmlns:recolor="{NAMESPACE}" xmlns:xmpMM="{MEDIA}"
        xmlns:stRef="http://ns.adobe.com/xap/1.0/sType/ResourceRef#"
        recolor:Version="1.2" recolor:Model="poster" recolor:ModelDigest="aa"
        recolor:SourceDigest="12-ab"><xmpMM:DerivedFrom stRef:filePath="a.jpg"/>
        <recolor:Options><rdf:Bag><rdf:li>strength=1</rdf:li></rdf:Bag></recolor:Options>
      </rdf:Description></rdf:RDF></x:xmpmeta>"""
    assert read_provenance(packet.encode()) == Provenance(
        "a.jpg", "12-ab", "poster", "aa", "1.2", (("strength", "1"),)
    )


def test_a_packet_that_says_nothing_of_it():
    assert read_provenance(b"") is None
    assert read_provenance(SOURCE) is None
    assert read_provenance(SOURCE.replace(b"uuid:7", NAMESPACE.encode())) is None
