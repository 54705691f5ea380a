import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from test_formats import DEEP, bare_png

from conftest import draw, encoded
from recolor_cli.image import exif
from recolor_cli.image.decode import decode
from recolor_cli.image.encode import ImageEncoding, encode
from recolor_cli.image.exif import Directory, ExifEntry
from recolor_cli.image.formats import ImageFormat, jpeg2000
from recolor_cli.image.formats.png_chunks import make_chunk
from recolor_cli.image.metadata import Metadata
from recolor_cli.image.probe import probe

UTF8 = "Плакат 1942 é".encode()
THUMBNAIL = b"\xff\xd8 the old color \xff\xd9"


def block(order: str = "<", orientation: int = 6) -> bytes:
    """Return what a camera writes: its directories, notes with an offset, and a thumbnail."""
    camera = Directory(order)
    camera.entries[0x9003] = ExifEntry(2, 20, b"1921:02:06 12:00:00\0")
    camera.entries[0x829A] = ExifEntry(5, 1, struct.pack(order + "II", 1, 125))
    camera.entries[0x927C] = ExifEntry(7, 9, b"notes \1\2\3")
    camera.children[40965] = Directory(order, {1: ExifEntry(2, 4, b"R98\0")})
    place = Directory(order, {1: ExifEntry(2, 2, b"N\0")})
    main = Directory(
        order,
        {
            0x010E: ExifEntry(2, len(UTF8), UTF8),
            exif.ORIENTATION: ExifEntry(3, 1, struct.pack(order + "H", orientation)),
        },
        {34665: camera, 34853: place},
    )
    data = bytearray(main.to_block())
    bare = len(data) - len(exif.PREFIX)
    start = len(exif.PREFIX) + 8
    (count,) = struct.unpack_from(order + "H", data, start)
    struct.pack_into(order + "I", data, start + 2 + 12 * count, bare)
    data += struct.pack(order + "H", 2)
    data += struct.pack(order + "HHII", 513, 4, 1, bare + 30)
    data += struct.pack(order + "HHII", 514, 4, 1, len(THUMBNAIL)) + b"\0" * 4
    return bytes(data) + THUMBNAIL


def jpeg(**options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(draw()).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_block_is_read_as_it_was_built(order):
    found = Directory.of_block(block(order))
    assert found.entries[0x010E].data == UTF8
    assert found.number(exif.ORIENTATION) == 6
    assert found.children[34665].rational(0x829A) == (1, 125)
    assert found.children[34665].children[40965].entries[1].data == b"R98\0"
    assert Directory.of_block(found.to_block()) == found
    loaded = Image.Exif()
    loaded.load(found.to_block())
    assert loaded.get_ifd(0x8769)[0x9003] == "1921:02:06 12:00:00"
    assert loaded.get_ifd(0x8825)[1] == "N"


@pytest.mark.parametrize("order", ["<", ">"])
def test_upright_changes_the_orientation_and_drops_the_thumbnail_and_nothing_else(order):
    before = block(order)
    after = exif.reset_orientation(before)
    assert b"old color" not in after
    assert Directory.of_block(after).number(exif.ORIENTATION) == 1
    assert after.index(b"notes") == before.index(b"notes")  # makers' notes hold offsets
    changed = [i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b]
    assert len(changed) <= 4


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "broken", [b"\1", b"MM\0*", b"XX\0*\0\0\0\x08\0\0", b"MM\0*\xff\xff\xff\xff"]
)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_picture_is_not_refused_for_broken_exif(image_format, broken):
    found = decode(encoded(draw(), image_format, exif=exif.PREFIX + broken))
    assert found.rgb.shape == draw().shape
    assert found.metadata.exif == b""
    assert any("exif" in warning.lower() for warning in found.warnings)
    assert probe(encoded(draw(), image_format, exif=exif.PREFIX + broken)).pixels


@pytest.mark.parametrize("bits", [8, 16])
def test_a_png_is_not_refused_for_broken_exif_behind_its_pixels(bits):
    png = encoded(draw(), "PNG") if bits == 8 else bare_png(DEEP, 16, 2)
    end = png.rindex(b"IEND") - 4
    found = decode(png[:end] + make_chunk(b"eXIf", b"broken") + png[end:])
    assert np.array_equal(found.rgb, decode(png).rgb)
    assert found.metadata.exif == b""


def test_resolution_is_added_without_moving_anything():
    before = exif.reset_orientation(block())
    after = exif.with_resolution(before, (300.0, 240.5))
    found = Directory.of_block(after)
    assert found.rational(exif.X_RESOLUTION) == (300_000, 1000)
    assert found.rational(exif.Y_RESOLUTION) == (240_500, 1000)
    assert found.children == Directory.of_block(before).children
    assert after.index(b"notes") == before.index(b"notes")
    assert exif.with_resolution(after, (72.0, 72.0)) == after
    bare = Directory.of_block(exif.with_resolution(b"", (72.0, 72.0)))
    assert bare.rational(exif.X_RESOLUTION) == (72_000, 1000)


@pytest.mark.parametrize(
    "data", [b"", b"II*\0", b"once upon a time", block()[:30], b"II*\0\xff\xff\xff\xff"]
)
def test_what_is_no_block_is_an_error(data):
    with pytest.raises(ValueError, match=r"block|cut off"):
        exif.reset_orientation(data)


def test_a_directory_that_points_to_itself_ends():
    data = bytearray(b"II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, 34665, 4, 1, 8) + b"\0" * 4)
    found = Directory.of_block(bytes(data))
    assert len(found.to_block()) < 200


def test_values_that_overlap_do_not_fill_the_memory():
    entries = b"".join(struct.pack("<HHII", tag, 7, 60_000, 8) for tag in range(1000, 6000))
    data = b"II*\0\x08\0\0\0" + struct.pack("<H", 5000) + entries + b"\0" * 4
    found = Directory.of_block(data)
    assert sum(len(entry.data) for entry in found.entries.values()) <= len(data)


@pytest.mark.filterwarnings("ignore:Tag data larger than file")  # Pillow's, of the same block
def test_a_picture_is_not_refused_for_values_that_overlap():
    text = b"the same text".ljust(600) + b"\0"
    entries = [struct.pack("<HHII", tag, 2, 601, 62) for tag in (270, 271, 272, 305)]
    data = b"II*\0\x08\0\0\0" + struct.pack("<H", 4) + b"".join(entries) + b"\0" * 4 + text
    source = jpeg(exif=exif.PREFIX + data)
    for target in ("JPEG", "WEBP", "TIFF", "PNG"):
        image = decode(source)
        assert encode(image, image.rgb, ImageEncoding(ImageFormat(target)))


@pytest.mark.parametrize("target", ["TIFF", "JPEG", "PNG", "JPEG2000"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_resolution_is_turned_with_the_picture(target, orientation):
    buffer = io.BytesIO()  # as a fax is scanned
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(
            np.zeros((60, 120), np.uint8),
            photometric="minisblack",
            resolution=(204, 98),
            resolutionunit="INCH",
            metadata=None,
            extratags=[(274, "H", 1, orientation, True)],
        )
    image = decode(buffer.getvalue())
    is_on_its_side = orientation > 4
    assert image.rgb.shape[:2] == ((120, 60) if is_on_its_side else (60, 120))
    data = encode(image, image.rgb, ImageEncoding(ImageFormat(target)))
    wanted = (98, 204) if is_on_its_side else (204, 98)
    assert decode(data).metadata.dpi == pytest.approx(wanted, abs=0.02)
    found = Directory.of_block(image.metadata.exif)
    if found.dpi:
        assert found.dpi == pytest.approx(wanted)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("target", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "JPEG2000"])
def test_all_of_a_cameras_data_goes_everywhere(target, order):
    image = decode(jpeg(exif=block(order), dpi=(300, 300)))
    assert image.rgb.shape == (60, 90, 3)
    data = encode(image, image.rgb, ImageEncoding(ImageFormat(target)))
    assert b"old color" not in data
    if target == "JPEG2000":
        found = Directory.of_block(jpeg2000.raw_exif(data))
    else:
        with Image.open(io.BytesIO(data)) as opened:
            if target == "TIFF":
                with tifffile.TiffFile(io.BytesIO(data)) as file:
                    found = Directory.of_tiff(data, file.pages[0].offset, order)
            else:
                found = Directory.of_block(opened.info["exif"])
            assert opened.getexif().get_ifd(0x8769)[0x829A] == 1 / 125
    assert found.entries[0x010E].data.rstrip(b"\0") == UTF8
    assert found.number(exif.ORIENTATION) in (None, 1)
    assert found.children == Directory.of_block(block(order)).children
    again = decode(data)
    assert again.rgb.shape == (60, 90, 3)
    assert again.metadata.dpi == pytest.approx((300, 300), abs=0.01)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_large_tiff_has_a_cameras_data_behind_any_offset(monkeypatch, order):
    monkeypatch.setattr("recolor_cli.image.formats.tiff_writer._CLASSIC_LIMIT", 0)
    image = decode(jpeg(exif=block(order)))
    data = encode(image, image.rgb, ImageEncoding(ImageFormat.TIFF))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        assert file.is_bigtiff
        assert file.pages[0].tags[34665].value["ExposureTime"] == (1, 125)
        assert file.pages[0].tags[34665].dtype == 18  # 64 bits
    again = Directory.of_block(decode(data).metadata.exif)
    assert again.children == Directory.of_block(block(order)).children


def photoshop() -> bytes:
    def resource(number: int, data: bytes) -> bytes:
        size = struct.pack(">I", len(data))
        return b"8BIM" + struct.pack(">H", number) + b"\0\0" + size + data + b"\0" * (len(data) % 2)

    iptc = b"\x1c\x02\x69" + struct.pack(">H", len(UTF8)) + UTF8
    return resource(1028, iptc) + resource(1036, b"old color") + resource(1062, b"x" * 90_001)


def test_several_comments_of_a_jpeg_become_one():
    first = b"\xff\xfe" + struct.pack(">H", 2 + 15) + b"scanned in 1998"
    image = decode(jpeg(comment=b"by hand", extra=first))
    data = encode(image, image.rgb, ImageEncoding(ImageFormat.JPEG))
    assert set(decode(data).metadata.comment.split(b"\n")) == {b"scanned in 1998", b"by hand"}


def test_iptc_and_the_comment_of_a_jpeg_are_kept():
    resources = photoshop()
    head = b"Photoshop 3.0\0"
    segments = b"".join(
        b"\xff\xed" + struct.pack(">H", 2 + len(head) + len(part)) + head + part
        for part in (resources[:60_000], resources[60_000:])
    )
    image = decode(jpeg(comment=b"by hand", extra=segments))
    result = decode(encode(image, image.rgb, ImageEncoding())).metadata
    assert result.comment == b"by hand"
    assert UTF8 in result.photoshop
    assert b"old color" not in result.photoshop
    assert b"x" * 90_001 in result.photoshop
    tif = decode(encode(image, image.rgb, ImageEncoding(ImageFormat.TIFF)))
    assert tif.metadata.photoshop == result.photoshop
    back = decode(encode(tif, tif.rgb, ImageEncoding(ImageFormat.JPEG)))
    assert back.metadata.photoshop == result.photoshop


def test_thumbnails_and_turns_of_xmp_are_dropped():
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" dc:title="T">'
        b"<xmp:Thumbnails><rdf:Alt>old color</rdf:Alt></xmp:Thumbnails>"
        b"</rdf:Description></x:xmpmeta>"
    )
    image = decode(jpeg(xmp=xmp))
    for target in (ImageFormat.JPEG, ImageFormat.PNG, ImageFormat.TIFF, ImageFormat.JPEG2000):
        found = decode(encode(image, image.rgb, ImageEncoding(target))).metadata.xmp
        assert b'dc:title="T"' in found
        assert b"old color" not in found
        assert b'Orientation="6"' not in found


def png_with(texts):
    buffer = io.BytesIO()
    Image.fromarray(draw()).save(buffer, "PNG", pnginfo=texts)
    return buffer.getvalue()


def test_texts_of_a_png_are_kept():
    texts = PngInfo()
    texts.add_text("Author", "nobody")
    texts.add_itxt("Title", "Плакат", "ru", "Название")
    texts.add_text("Long", "x" * 5000, zip=True)
    image = decode(png_with(texts))
    with Image.open(io.BytesIO(encode(image, image.rgb, ImageEncoding()))) as result:
        assert result.text["Author"] == "nobody"
        assert result.text["Title"] == "Плакат"
        assert result.text["Title"].lang == "ru"
        assert result.text["Long"] == "x" * 5000


def test_all_texts_of_one_keyword_are_kept_in_order():
    texts = PngInfo()
    texts.add_text("Comment", "of the archive")
    texts.add_itxt("Comment", "Плакат", "ru", "Заметка")
    texts.add_text("Comment", "x" * 5000, zip=True)
    image = decode(png_with(texts))
    again = decode(encode(image, image.rgb, ImageEncoding()))
    wanted = (("Comment", "of the archive"), ("Comment", "Плакат"), ("Comment", "x" * 5000))
    assert image.metadata.texts == again.metadata.texts == wanted
    assert again.metadata.texts[1][1].lang == "ru"


def test_own_tags_of_a_tiff_keep_their_types():
    buffer = io.BytesIO()
    extra = [(65000, 12, 2, (1.5, 2.5), True), (65001, 2, 5, "note", True), (65002, 3, 1, 7, True)]
    tifffile.imwrite(
        buffer, draw(), photometric="rgb", extratags=extra, byteorder=">", metadata=None,
        resolution=((118110, 1000), (118110, 1000)), resolutionunit=3, software="a scanner",
    )  # fmt: skip
    image = decode(buffer.getvalue())
    assert image.metadata.dpi == pytest.approx((300, 300), abs=0.01)
    result = encode(image, image.rgb, ImageEncoding())
    with tifffile.TiffFile(io.BytesIO(result)) as file:
        tags = file.pages[0].tags
        assert (tags[65000].dtype, tags[65000].value) == (12, (1.5, 2.5))
        assert tags[65001].value == "note"
        assert (tags[65002].dtype, tags[65002].value) == (3, 7)
        assert tags["Software"].value == "a scanner"
        assert tags["XResolution"].value == (11811, 100)
        assert tags["ResolutionUnit"].value == 3


def test_boxes_of_a_bare_code_stream_are_none():
    assert jpeg2000.raw_exif(b"\xff\x4f\xff\x51" + b"\0" * 50) == b""
    assert jpeg2000.icc_profile(b"\0\0\0\x0cjP  \r\n\x87\n\xff\xff\xff\xff") == b""


def test_a_large_resolution_fits_in_a_box():
    image = decode(jpeg())
    data = jpeg2000.with_metadata(
        encode(image, image.rgb, ImageEncoding(ImageFormat.JPEG2000)),
        Metadata(dpi=(4800.0, 2400.0)),
    )
    assert decode(data).metadata.dpi == pytest.approx((4800, 2400), rel=0.01)
    assert np.array_equal(decode(data).rgb, image.rgb)
