"""Which JPEGs are whole, and what is decoded of those that are not."""

import io
import struct

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from conftest import draw, encoded
from recolor_cli.errors import DamagedError, InputError
from recolor_cli.image.decode import decode, decode_pages
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.formats.jpeg_stream import (
    _MARKER,
    JpegStream,
    _find_marker,
    walk_segments,
)
from recolor_cli.image.probe import probe

END = b"\xff\xd9"
SCAN, FRAME, TABLES = 0xDA, 0xC0, 0xC4


def picture(mode: str = "RGB", **options) -> bytes:
    """Return a JPEG whose data have no flat parts."""
    noise = np.random.default_rng(1).integers(-20, 20, (120, 160, 3))
    rgb = np.clip(draw(120, 160).astype(int) + noise, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(rgb).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


KINDS = {
    "color": picture(),
    "gray": picture("L"),
    "CMYK": picture("CMYK"),
    "full color": picture(subsampling=0, quality=95),
    "progressive": picture(progressive=True),
    "progressive gray": picture("L", progressive=True),
    "restart markers": picture(restart_marker_blocks=5),
    "optimized": picture(optimize=True),
}


def deep_picture(bits: int, is_gray: bool = False, low_bits: int = 0, **options) -> bytes:
    """Return a JPEG of another depth than 8 bits, the lossless ones without their low bits."""
    with Image.open(io.BytesIO(KINDS["full color"])) as image:
        rgb = np.asarray(image)
    levels = rgb[..., 0].copy() if is_gray else rgb
    kind = np.uint8 if bits <= 8 else np.uint16
    levels = (levels / 255 * ((1 << bits) - 1)).astype(kind)
    jpeg = bytes(imagecodecs.jpeg8_encode(levels, bitspersample=bits, **options))
    scan = next(part for part in walk_segments(jpeg) if part.marker == SCAN)
    last = scan.end - 1
    return jpeg[:last] + bytes([jpeg[last] | low_bits]) + jpeg[last + 1 :]


DEEP_KINDS = {
    "12 bits": deep_picture(12),
    "12 bits gray": deep_picture(12, is_gray=True),
    "12 bits optimized": deep_picture(12, optimize=True),
    "12 bits lossless": deep_picture(12, lossless=True),
    "16 bits lossless": deep_picture(16, lossless=True),
    "16 bits lossless gray": deep_picture(16, is_gray=True, lossless=True),
    "16 bits lossless, low bits left out": deep_picture(16, low_bits=9, lossless=True),
    "6 bits lossless": deep_picture(6, lossless=True),
    "8 bits lossless": deep_picture(8, lossless=True),
}


def data_of(jpeg: bytes) -> tuple[int, int]:
    """Return where the data of the first scan begin and those of the last one end."""
    segments = list(walk_segments(jpeg))
    scan = next(part for part in segments if part.marker == SCAN)
    return scan.end, segments[-1].head


def damage_of(jpeg: bytes) -> str:
    return JpegStream(jpeg).decode()[1]


@pytest.fixture(params=[*KINDS, *DEEP_KINDS])
def jpeg(request) -> bytes:
    return (KINDS | DEEP_KINDS)[request.param]


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_picture_is_decoded_as_pillow_does(kind):
    jpeg = KINDS[kind]
    levels, damage = JpegStream(jpeg).decode()
    assert damage == ""
    with Image.open(io.BytesIO(jpeg)) as image:
        expected = np.asarray(image)
    assert np.array_equal(levels, 255 - expected if image.mode == "CMYK" else expected)


@pytest.mark.parametrize("subsampling", ["4:2:2", "4:2:0"])
def test_channels_that_are_subsampled_in_rare_ways_are_decoded_as_pillow_does(subsampling):
    jpeg = picture("CMYK", subsampling=subsampling)
    levels, damage = JpegStream(jpeg).decode()
    assert damage == ""
    with Image.open(io.BytesIO(jpeg)) as image:
        assert np.array_equal(levels, 255 - np.asarray(image))
    assert damage_of(jpeg[:-100]) == "its end is missing"


@pytest.mark.parametrize(
    "rest", [b"", b"\0", b"\0" * 700, b"\xff" * 3, b"\xff"], ids=["cut", "0", "0s", "fill", "half"]
)
def test_a_picture_that_lacks_only_its_end_marker_is_whole(jpeg, rest):
    levels, damage = JpegStream(jpeg.removesuffix(END) + rest).decode()
    assert damage == ""
    assert np.array_equal(levels, JpegStream(jpeg).decode()[0])


@pytest.mark.parametrize("rest", [b"\0" * 700, b"more " * 100, picture("L"), b"\xff\xd8"])
def test_what_follows_the_end_is_no_damage(jpeg, rest):
    assert damage_of(jpeg + rest) == ""


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("rest", [b"", END, b"\0" * 3000, b"\0" * 3000 + END], ids=len)
def test_a_picture_that_is_cut_off_is_damaged(jpeg, share, rest):
    start, end = data_of(jpeg)
    assert damage_of(jpeg[: start + int((end - start) * share)] + rest)


def test_a_progressive_picture_that_ends_between_two_scans_is_damaged():
    jpeg = KINDS["progressive"]
    scans = [part for part in walk_segments(jpeg) if part.marker == SCAN]
    for scan in scans[1:]:
        # The tables of a scan stand in front of it.
        tables = max(
            part.end for part in walk_segments(jpeg) if part.head < scan.head and part != scan
        )
        assert damage_of(jpeg[:tables]) == "its end is missing"
        assert damage_of(jpeg[: scan.head]) == "its end is missing"


def test_of_a_progressive_picture_that_ends_within_tables_the_scans_before_are_decoded():
    jpeg = KINDS["progressive"]
    tables = [part for part in walk_segments(jpeg) if part.marker == TABLES][-1]
    expected, _ = JpegStream(jpeg[: tables.head]).decode()
    for end in range(tables.head + 1, tables.end):
        levels, damage = JpegStream(jpeg[:end]).decode()
        assert np.array_equal(levels, expected)
        assert damage == "its end is missing"


def test_rows_that_the_decoder_does_not_reach_are_gray():
    jpeg = KINDS["progressive"]
    tables = [part for part in walk_segments(jpeg) if part.marker == TABLES][-1]
    broken = bytearray(jpeg)
    broken[tables.start + 1 : tables.start + 17] = b"\xff" * 16  # too many codes: it gives up
    broken[tables.head - 20 : tables.head] = b""  # it warns of these, and would raise otherwise
    levels, damage = JpegStream(bytes(broken)).decode()
    assert (levels == 128).all()
    assert damage == "a part of its data is missing or wrong"


@pytest.mark.parametrize("hole", [b"\0" * 512, b"\xff\0" * 256, b""], ids=["0", "1", "removed"])
@pytest.mark.parametrize("place", [0.25, 0.5])
def test_a_picture_that_lost_its_middle_is_damaged(jpeg, hole, place):
    start, end = data_of(jpeg)
    at = start + int((end - start) * place)
    lost = max(512, (end - start) // 12)
    assert damage_of(jpeg[:at] + hole + jpeg[at + lost :])


def test_a_lost_restart_interval_is_damage():
    jpeg = KINDS["restart markers"]
    first, second = jpeg.index(b"\xff\xd1"), jpeg.index(b"\xff\xd2")
    assert damage_of(jpeg[:first] + jpeg[second:])


def test_a_scan_of_each_channel_must_be_there():
    jpeg, gray = picture(subsampling=0), picture("L")
    scan = next(part for part in walk_segments(jpeg) if part.marker == SCAN)
    first_channel = b"\xff\xda\0\x08\1\1\0\0\x3f\0"
    assert damage_of(jpeg[: scan.head] + first_channel + gray[slice(*data_of(gray))] + END)


def changed(jpeg: bytes, marker: int, offset: int, value: int) -> bytes:
    part = next(part for part in walk_segments(jpeg) if part.marker == marker)
    at = part.start + offset
    return jpeg[:at] + bytes([value]) + jpeg[at + 1 :]


def test_harmless_oddities_are_no_damage_and_hide_none():
    scan = next(part for part in walk_segments(KINDS["color"]) if part.marker == SCAN)
    last = scan.end - scan.start - 2
    odd = {
        "JFIF 9.1": changed(KINDS["color"], 0xE0, 5, 9),
        "transform 7": changed(KINDS["CMYK"], 0xEE, 11, 7),
        "spectrum": changed(KINDS["color"], SCAN, last, 0),
        "between segments": KINDS["color"].replace(b"\xff\xdb", b"\0\0\0\xff\xdb", 1),
    }
    for name, jpeg in odd.items():
        assert damage_of(jpeg) == "", name
        start, end = data_of(jpeg)
        assert damage_of(jpeg[: (start + end) // 2] + END), name


@pytest.mark.parametrize(
    "numbers", [[(1, 2)], [(1, 1), (1, 1)], [(0, 1)], [(1, 2), (2, 3)]], ids=str
)
def test_a_picture_is_not_refused_for_a_broken_profile(numbers):
    jpeg = KINDS["color"]
    parts = (b"ICC_PROFILE\0" + bytes(pair) + b"part" * 99 for pair in numbers)
    segments = b"".join(b"\xff\xe2" + struct.pack(">H", 2 + len(p)) + p for p in parts)
    odd = jpeg[:2] + segments + jpeg[2:]
    found = decode(odd)
    assert np.array_equal(found.rgb, decode(jpeg).rgb)
    assert "color profile" in found.warnings[0]
    start, end = data_of(odd)
    assert damage_of(odd[: (start + end) // 2] + END)


@pytest.mark.parametrize(
    ("marker", "content"),
    [
        (0xE0, b"JFIF\0"),
        (0xE1, b""),
        (0xE1, b"Exif\0\0"),
        (0xE2, b"ICC_PROFILE\0"),
        (0xE2, b"MPF\0II"),
        (0xED, b"Photoshop 3.0\0"),
        (0xED, b"Photoshop 3.0\x008BIM\4\4"),
        (0xEE, b"Adobe\0"),
    ],
    ids=str,
)
def test_a_picture_is_not_refused_for_a_segment_that_is_cut_off(marker, content):
    jpeg = KINDS["color"]
    segment = struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content
    (page,) = decode_pages(jpeg[:2] + segment + jpeg[2:])
    assert np.array_equal(page.rgb, decode(jpeg).rgb)
    assert page.damage == ""


@pytest.mark.parametrize("padding", [b"\0", b"\0" * 9, b"\xaa" * 3])
def test_padding_in_front_of_the_end_is_no_damage(jpeg, padding):
    assert damage_of(jpeg.removesuffix(END) + padding + END) == ""


def test_other_bytes_in_front_of_the_end_are_damage(jpeg):
    assert damage_of(jpeg.removesuffix(END) + bytes(range(1, 60)) + END)


@pytest.mark.parametrize("bits", [9, 12, 16])
def test_more_than_8_bits_are_decoded(bits):
    levels = (draw(64, 80)[..., 0].astype(np.uint16) * 257) >> (16 - bits)
    options = {"level": 100} if bits == 12 else {"lossless": True}
    jpeg = bytes(imagecodecs.jpeg8_encode(levels, bitspersample=bits, **options))
    (page,) = decode_pages(jpeg, ImageFormat.PNG)
    expected = levels * (65535 / ((1 << bits) - 1))
    assert np.abs(page.rgb[..., 1] - expected).max() < (300 if bits == 12 else 1)
    assert page.warnings == ()
    assert "8 bits" in decode(jpeg).warnings[0]
    with pytest.raises(InputError, match="end is missing"):
        decode(jpeg[:-60])


def test_color_of_12_bits_is_decoded():
    jpeg = bytes(imagecodecs.jpeg8_encode(draw().astype(np.uint16) * 16, bitspersample=12))
    assert np.abs(decode(jpeg).rgb.astype(int) - draw()).max() < 40
    assert np.abs(decode(jpeg).rgb.astype(int) - draw()).mean() < 2


def test_fewer_than_8_bits_are_decoded():
    levels = np.tile(np.arange(64, dtype=np.uint8), (16, 1))
    jpeg = bytes(imagecodecs.jpeg8_encode(levels, lossless=True, bitspersample=6))
    assert np.array_equal(decode(jpeg).rgb[..., 0], np.rint(levels * (255 / 63)))


def test_exif_of_12_bits_is_kept():
    exif = Image.Exif()
    exif[0x010E] = "a poster"
    head = encoded(draw(16, 16), exif=exif)
    part = next(part for part in walk_segments(head) if part.marker == 0xE1)
    jpeg = bytes(imagecodecs.jpeg8_encode(draw().astype(np.uint16) * 16, bitspersample=12))
    jpeg = jpeg[:2] + head[part.head : part.end] + jpeg[2:]
    assert b"a poster" in decode(jpeg).metadata.exif


def test_a_damaged_picture_is_kept_on_demand():
    jpeg = KINDS["color"]
    start, end = data_of(jpeg)
    half = jpeg[: (start + end) // 2]
    with pytest.raises(InputError, match="damaged: its end is missing") as caught:
        decode(half)
    assert isinstance(caught.value, DamagedError)
    (page,) = decode_pages(half, keep_damaged=True)
    assert page.damage == "its end is missing"
    assert "damaged" in page.warnings[0]
    whole = decode(jpeg).rgb
    assert np.array_equal(page.rgb[:30], whole[:30])
    assert not np.array_equal(page.rgb[-30:], whole[-30:])
    (page,) = decode_pages(jpeg, keep_damaged=True)
    assert (page.damage, page.warnings) == ("", ())


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_picture_without_a_header_cannot_be_kept(share):
    header = next(part for part in walk_segments(KINDS["color"]) if part.marker == FRAME).start
    with pytest.raises(InputError, match="damaged"):
        decode(KINDS["color"][: int(header * share)], keep_damaged=True)


def with_lines(jpeg: bytes, height: int, lines: bytes) -> bytes:
    """Return a JPEG with another height in its header, and content for a segment DNL."""
    segments = list(walk_segments(jpeg))
    place = next(part for part in segments if part.marker in (FRAME, 0xC1, 0xC2)).start + 1
    scan = next(i for i, part in enumerate(segments) if part.marker == SCAN)
    end = segments[scan + 1].head
    segment = b"\xff\xdc" + struct.pack(">H", 2 + len(lines)) + lines
    header = jpeg[:place] + struct.pack(">H", height) + jpeg[place + 2 : end]
    return header + segment + jpeg[end:]


@pytest.mark.parametrize("height", [0, 120, 200])
@pytest.mark.parametrize("kind", KINDS)
def test_the_height_may_stand_behind_the_first_scan(kind, height):
    jpeg = KINDS[kind]
    late = with_lines(jpeg, height, struct.pack(">H", 120))
    assert damage_of(late) == ""
    assert np.array_equal(decode(late).rgb, decode(jpeg).rgb)
    size = probe(late).displayed_size()
    assert (size.height, size.width) == (120, 160)


@pytest.mark.parametrize("lines", [b"", b"\0", b"\0\0"])
def test_a_picture_without_a_height_says_so(lines):
    with pytest.raises(InputError, match="damaged: its height is missing"):
        decode(with_lines(KINDS["color"], 0, lines), keep_damaged=True)
    cut = with_lines(KINDS["color"], 0, struct.pack(">H", 120))[:-3000]
    with pytest.raises(InputError, match="damaged: its height is missing"):
        decode(cut, keep_damaged=True)


def test_jpeg_ls_is_named():
    data = bytes(imagecodecs.jpegls_encode(draw()[..., 0].copy()))
    with pytest.raises(InputError, match="JPEG-LS"):
        decode(data)


def test_of_arithmetic_coding_the_end_must_be_there():
    # libjpeg reads zeros behind the data, without a warning. The marker alone decides here.
    jpeg = changed_frame(KINDS["color"], 0xC9)
    assert JpegStream(jpeg)._missing_scans() == ""
    assert JpegStream(jpeg.removesuffix(END))._missing_scans() == "its end is missing"


def changed_frame(jpeg: bytes, marker: int) -> bytes:
    frame = next(part for part in walk_segments(jpeg) if part.marker == FRAME)
    return jpeg[: frame.head + 1] + bytes([marker]) + jpeg[frame.head + 2 :]


@pytest.mark.parametrize("seed", range(20))
def test_markers_are_found_where_the_pattern_finds_them(seed):
    random = np.random.default_rng(seed)
    common = np.array([0xFF, 0x00, 0xD0, 0xD7, 0xD9, 0x12], np.uint8)
    data = random.choice(common, random.integers(0, 3000), p=[0.3, 0.3, 0.1, 0.1, 0.001, 0.199])
    data = data.tobytes()
    for at in (0, 1, 63, 64, 500):
        found, wanted = _find_marker(data, at), _MARKER.search(data, at)
        assert (found and found.span()) == (wanted and wanted.span())
