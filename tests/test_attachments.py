"""Metadata that a format has no room for, and what phones put into their pictures."""

import hashlib
import io
import struct
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from conftest import draw, encoded
from recolor_cli.image.decode import decode, decode_pages
from recolor_cli.image.encode import ImageEncoding, encode
from recolor_cli.image.exif import Directory, ExifEntry, shorten
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.formats.jpeg_stream import walk_segments
from recolor_cli.image.xmp_document import RDF, XmpError
from recolor_cli.image.xmp_extension import join_extension, split_extension

RGB = draw(32, 40)
DC, PHOTOSHOP = "http://purl.org/dc/elements/1.1/", "http://ns.adobe.com/photoshop/1.0/"
GOOGLE = "http://ns.google.com/photos/1.0"


def packet(properties: str, attributes: str = "") -> bytes:
    return (
        '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<rdf:RDF xmlns:rdf="{RDF}"><rdf:Description rdf:about="uuid:1" xmlns:dc="{DC}" '
        f'xmlns:photoshop="{PHOTOSHOP}" {attributes}>{properties}</rdf:Description></rdf:RDF>'
        '</x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def large(count: int) -> str:
    """Return properties whose largest one is a list of so many entries."""
    items = "".join(f"<rdf:li>layer {i:06d} &amp; more</rdf:li>" for i in range(count))
    return (
        "<dc:title><rdf:Alt><rdf:li xml:lang='x-default'>Old poster</rdf:li></rdf:Alt></dc:title>"
        f"<photoshop:DocumentAncestors><rdf:Bag>{items}</rdf:Bag></photoshop:DocumentAncestors>"
        "<photoshop:City>Wien</photoshop:City>"
    )


def facts(xmp: bytes) -> dict[str, str]:
    """Return the properties of the resource, whichever way they are written."""
    found: dict[str, str] = {}
    (rdf,) = ElementTree.fromstring(xmp).iter(f"{{{RDF}}}RDF")
    for description in rdf:
        assert description.get(f"{{{RDF}}}about") == "uuid:1"
        for name, value in description.attrib.items():
            found[name] = value
        for child in description:
            assert child.tag not in found
            found[child.tag] = "".join(child.itertext())
    return found


def segments(jpeg: bytes, marker: int, head: bytes) -> list[bytes]:
    parts = [jpeg[s.start : s.end] for s in walk_segments(jpeg) if s.marker == marker]
    return [part.removeprefix(head) for part in parts if part.startswith(head)]


def as_jpeg(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    (page,) = decode_pages(data, ImageFormat.JPEG)
    return encode(page, page.rgb, ImageEncoding(ImageFormat.JPEG)), page.warnings


def sources(xmp: bytes) -> dict[str, bytes]:
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp.decode())
    buffer = io.BytesIO()
    tags = [(700, 1, len(xmp), xmp, True)]
    tifffile.imwrite(buffer, RGB, photometric="rgb", metadata=None, extratags=tags)
    return {
        "PNG": encoded(RGB, "PNG", pnginfo=info),
        "TIFF": buffer.getvalue(),
        "WebP": encoded(RGB, "WEBP", xmp=xmp),
    }


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WebP"])
def test_large_xmp_is_split_for_jpeg_and_joined_again(kind):
    xmp = packet(large(4_000))  # more than two segments
    jpeg, warnings = as_jpeg(sources(xmp)[kind])
    assert not any("XMP" in warning for warning in warnings)
    (main,) = segments(jpeg, 0xE1, b"http://ns.adobe.com/xap/1.0/\0")
    parts = segments(jpeg, 0xE1, b"http://ns.adobe.com/xmp/extension/\0")
    guid = facts(main)["{http://ns.adobe.com/xmp/note/}HasExtendedXMP"]
    extension = b""
    for part in parts:
        assert part[:32].decode() == guid
        size, offset = struct.unpack_from(">II", part, 32)
        assert offset == len(extension)
        extension += part[40:]
    assert size == len(extension)
    assert hashlib.md5(extension).hexdigest().upper() == guid
    assert facts(main)[f"{{{DC}}}title"] == "Old poster"  # programs read this one
    assert facts(main)[f"{{{PHOTOSHOP}}}City"] == "Wien"
    assert facts(main).keys() & facts(extension).keys() <= {f"{{{RDF}}}about"}
    again = decode(jpeg).metadata.xmp
    assert facts(again) == facts(xmp)
    png = encode(decode(jpeg), RGB, ImageEncoding(ImageFormat.PNG))
    assert facts(decode(png).metadata.xmp) == facts(xmp)


def test_large_attributes_move_too():
    xmp = packet("<dc:format>image/jpeg</dc:format>", f'photoshop:History="{"a&lt;" * 30_000}"')
    main, parts = split_extension(xmp)
    assert len(main) <= 65_502
    assert facts(main)[f"{{{DC}}}format"] == "image/jpeg"
    head = b"http://ns.adobe.com/xmp/extension/\0"
    assert all(part.startswith(head) and len(part) <= 65_533 for part in parts)
    assert facts(join_extension(main, parts))[f"{{{PHOTOSHOP}}}History"] == "a<" * 30_000


def test_small_xmp_stays_as_it_is():
    xmp = packet(large(3))
    assert split_extension(xmp) == (xmp, [])
    assert join_extension(xmp, []) == xmp
    assert split_extension(b"") == (b"", [])


def test_an_extension_that_is_not_whole_is_no_reason_to_refuse_a_picture():
    main, parts = split_extension(packet(large(3_000)))
    expected = facts(main)
    del expected["{http://ns.adobe.com/xmp/note/}HasExtendedXMP"]
    broken = [part.replace(b"<", b">") for part in parts]
    for found in (parts[1:], [part[:-1] for part in parts], broken):
        assert facts(join_extension(main, found)) == expected


@pytest.mark.parametrize("xmp", [b"a" * 70_000, b"<x>" + b" " * 70_000, packet(large(2_500))[:-50]])
def test_large_xmp_that_is_broken_is_left_out(xmp):
    with pytest.raises(XmpError):
        split_extension(xmp)
    _, warnings = as_jpeg(sources(xmp)["WebP"])
    assert any("XMP is left out" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("namespace", "warnings"),
    [
        ("http://ns.adobe.com/xmp/note/", ()),
        ("http://ns.adobe.com/hdr-gain-map/1.0/", ("its XMP, which is broken, is left out",)),
    ],
)
def test_xmp_whose_elements_lie_too_deep_is_no_reason_to_refuse_a_picture(namespace, warnings):
    xmp = packet("<a>" * 3_000 + "</a>" * 3_000, f'xmlns:n="{namespace}" n:Version="1"')
    assert decode(encoded(RGB, ImageFormat.JPEG, xmp=xmp)).warnings == warnings


def large_exif(size: int) -> bytes:
    child = Directory("<", {0x9003: ExifEntry(2, 20, b"1921:02:06 12:00:00\0")})
    child.entries[0x927C] = ExifEntry(7, size, b"m" * size)  # makers' notes
    entries = {
        0x010E: ExifEntry(2, 11, b"Old poster\0"),
        0x9C9C: ExifEntry(1, size, b"c\0" * (size // 2)),
    }
    return Directory("<", entries, {34665: child}).to_block()


@pytest.mark.parametrize("size", [40_000, 90_000])
def test_large_exif_is_shortened_for_jpeg(size):
    block = large_exif(size)
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, "PNG", exif=block)
    jpeg, warnings = as_jpeg(buffer.getvalue())
    assert any("EXIF are left out, as JPEG holds 64 kB" in warning for warning in warnings)
    kept = Directory.of_block(decode(jpeg).metadata.exif)
    assert kept.entries[0x010E].data == b"Old poster\0"
    assert kept.children[34665].entries[0x9003].data == b"1921:02:06 12:00:00\0"
    assert (0x9C9C in kept.entries) + (0x927C in kept.children[34665].entries) == (size < 65_000)
    assert decode(jpeg).warnings == ()


def test_exif_is_shortened_as_little_as_needed():
    block = large_exif(40_000)
    assert shorten(block, len(block)) is block
    assert 40_000 < len(shorten(block, 65_533)) < 65_533
    assert shorten(block, 10) == b""


def test_a_large_comment_is_shortened():
    jpeg, warnings = as_jpeg(encoded(RGB, "GIF", comment=b"c" * 70_000))
    assert any("comment is shortened" in warning for warning in warnings)
    assert decode(jpeg).metadata.comment == b"c" * 65_533


@pytest.mark.parametrize(
    ("target", "lost"),
    [
        (ImageFormat.JPEG, ()),
        (ImageFormat.PNG, ("IPTC", "comment")),
        (ImageFormat.BMP, ("EXIF", "XMP", "IPTC", "comment")),
    ],
)
def test_metadata_without_a_place_is_named(target, lost):
    resource = b"8BIM" + struct.pack(">HHI", 1028, 0, 4) + b"iptc"
    content = b"Photoshop 3.0\0" + resource
    extra = b"\xff\xed" + struct.pack(">H", len(content) + 2) + content
    exif = Image.Exif()
    exif[0x010E] = "Old poster"
    jpeg = encoded(RGB, exif=exif, xmp=packet(large(1)), comment=b"hello", extra=extra)
    (page,) = decode_pages(jpeg, target)
    assert page.metadata.exif or "EXIF" in lost
    if not lost:
        assert page.warnings == ()
    else:
        (warning,) = page.warnings
        for name in ("EXIF", "XMP", "IPTC", "comment"):
            assert (name in warning) == (name in lost)


CLAIMS = {
    "gain map": (
        "<hdrgm:GainMapMax><rdf:Seq><rdf:li>2</rdf:li></rdf:Seq></hdrgm:GainMapMax>",
        'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"',
    ),
    "video": (
        f'<Container:Directory xmlns:Container="{GOOGLE}/container/" '
        f'xmlns:Item="{GOOGLE}/container/item/"><rdf:Seq>'
        '<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="Primary"/></rdf:li>'
        '<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="MotionPhoto"/></rdf:li>'
        "</rdf:Seq></Container:Directory>",
        f'xmlns:GCamera="{GOOGLE}/camera/" GCamera:MotionPhoto="1" GCamera:MicroVideoOffset="9"',
    ),
    "depth map": (
        "<GDepth:Data>AAAA</GDepth:Data>",
        f'xmlns:GDepth="{GOOGLE}/depthmap/" GDepth:Format="RangeInverse"',
    ),
    "other eye": (
        "",
        f'xmlns:GImage="{GOOGLE}/image/" GImage:Mime="image/jpeg" GImage:Data="AAAA"',
    ),
}


@pytest.mark.parametrize("name", CLAIMS)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WebP", "JPEG"])
def test_claims_of_what_a_result_lacks_are_removed_and_said(name, kind):
    properties, attributes = CLAIMS[name]
    xmp = packet(properties + large(1), f'{attributes} photoshop:Credit="me"')
    data = {**sources(xmp), "JPEG": encoded(RGB, xmp=xmp)}[kind]
    (page,) = decode_pages(data)
    assert f"{name}" in page.warnings[0]
    assert "left out" in page.warnings[0]
    found = facts(page.metadata.xmp)
    assert {name.partition("}")[0] for name in found} == {f"{{{RDF}", f"{{{DC}", f"{{{PHOTOSHOP}"}
    assert found[f"{{{PHOTOSHOP}}}Credit"] == "me"


def test_other_properties_of_a_camera_stay():
    xmp = packet("", f'xmlns:GCamera="{GOOGLE}/camera/" GCamera:BurstID="7"')
    (page,) = decode_pages(encoded(RGB, xmp=xmp))
    assert page.metadata.xmp == xmp
    assert page.warnings == ()


def test_a_stereo_picture_is_said_to_lose_one():
    buffer = io.BytesIO()
    first, second = Image.fromarray(RGB), Image.fromarray(RGB[:, ::-1].copy())
    first.save(buffer, "MPO", save_all=True, append_images=[second])
    (page,) = decode_pages(buffer.getvalue())
    assert page.warnings == ("its further pictures are left out",)
    result = encode(page, page.rgb, ImageEncoding())
    assert Image.open(io.BytesIO(result)).format == "JPEG"
    assert b"MPF\0" not in result


def test_previews_and_named_gain_maps_are_no_further_pictures():
    properties, attributes = CLAIMS["gain map"]
    buffer = io.BytesIO()
    small = Image.fromarray(RGB[::2, ::2].copy())
    xmp = packet(properties, attributes)
    Image.fromarray(RGB).save(buffer, "MPO", save_all=True, append_images=[small], xmp=xmp)
    (page,) = decode_pages(buffer.getvalue())
    assert page.warnings == ("its gain map (HDR) is left out",)


@pytest.mark.parametrize(
    "rest",
    [b"\0\0\0\x18ftypmp42" + b"\0" * 50, b"\0" * 300 + b"MotionPhoto_Data\0\0\0\x18ftypmp42"],
)
def test_a_video_behind_the_picture_is_said_to_be_left_out(rest):
    (page,) = decode_pages(encoded(RGB) + rest)
    assert page.warnings == ("its video (motion photo) is left out",)
    assert np.array_equal(page.rgb, decode(encoded(RGB)).rgb)
    assert decode(encoded(RGB) + b"\0" * 90).warnings == ()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "JPEG2000", "GIF", "PPM"])
@pytest.mark.parametrize("gap", [b"", b"\0" * 7])
def test_a_picture_behind_the_picture_is_no_video(kind, gap):
    (page,) = decode_pages(encoded(RGB) + gap + encoded(RGB, kind))
    assert page.warnings == ("its further pictures are left out",)
    assert np.array_equal(page.rgb, decode(encoded(RGB)).rgb)


def test_a_result_of_many_pictures_has_the_name_of_one(tmp_path, recolor):
    (tmp_path / "a.mpo").write_bytes(encoded(RGB))
    out, _ = recolor(tmp_path / "a.mpo", "-o", tmp_path / "out/", "-n")
    assert out.decode().strip().endswith("out/a.jpg")


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_a_pnm_of_several_pictures_says_that_the_first_is_recolored(mode):
    pnm = encoded(np.asarray(Image.fromarray(draw()).convert(mode)), "PPM")
    (page,) = decode_pages(2 * pnm)
    assert np.array_equal(page.rgb, decode(pnm).rgb)
    assert page.warnings == ("its further pictures are left out",)
    assert decode(pnm + b"\n").warnings == ()
