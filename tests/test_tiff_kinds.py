"""Kinds of TIFF that few programs write: each is read as the others of its picture."""

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from conftest import draw
from recolor_cli.errors import DamagedError, InputError
from recolor_cli.image.decode import decode, decode_pages
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.formats.jpeg_stream import walk_segments

RGB = draw(48, 64)
GRAY = np.ascontiguousarray(RGB[..., 1])
ALPHA = np.tile(np.linspace(40, 255, 64).astype(np.uint8), (48, 1))
INK = np.asarray(Image.fromarray(RGB).convert("CMYK"))
NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def tiff(pixels, **options) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, metadata=None, **options)
    return buffer.getvalue()


def tiff_of_pages(*pages, is_big=False, **options) -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, bigtiff=is_big) as writer:
        for page in pages:
            settings = {"photometric": "rgb" if page.ndim == 3 else "minisblack", **options}
            writer.write(page, metadata=None, **settings)
    return buffer.getvalue()


def bare_tiff(data: bytes, **tags: list[int]) -> bytes:
    """Return a TIFF of one page. Tags are named t256 and so on; their values are short numbers."""
    start = 8 + len(data) + len(data) % 2
    records, behind = b"", b""
    for name in sorted(tags):
        values = tags[name]
        code = "I" if max(values) > 65535 or name in ("t273", "t279", "t513", "t514") else "H"
        packed = struct.pack(f"<{len(values)}{code}", *values)
        if len(packed) > 4:
            place = struct.pack("<I", start + 6 + 12 * len(tags) + len(behind))
            behind += packed
        else:
            place = packed.ljust(4, b"\0")
        kind = 4 if code == "I" else 3
        records += struct.pack("<HHI", int(name[1:]), kind, len(values)) + place
    head = b"II*\0" + struct.pack("<I", start) + data
    directory = struct.pack("<H", len(tags)) + records + b"\0" * 4 + behind
    return head.ljust(start, b"\0") + directory


def multiplied(pixels: np.ndarray) -> np.ndarray:
    share = ALPHA / 255 if pixels.ndim == 2 else ALPHA[..., None] / 255
    return np.rint(pixels * share).astype(np.uint8)


def deep(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.uint16) * 257


@pytest.mark.parametrize("depth", [np.uint8, deep])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
@pytest.mark.parametrize(
    ("photometric", "pixels", "expected"),
    [
        ("minisblack", GRAY, np.dstack([GRAY] * 3)),
        ("miniswhite", 255 - GRAY, np.dstack([GRAY] * 3)),
        ("rgb", RGB, RGB),
        ("separated", INK, RGB),
    ],
    ids=["gray", "white is 0", "color", "ink"],
)
def test_opacity_is_read_whatever_it_stands_beside(
    photometric, pixels, expected, kind, planes, depth
):
    stored = multiplied(pixels) if kind == "assocalpha" else pixels
    levels = depth(np.dstack([stored, ALPHA]))
    if planes == "separate":
        levels = np.moveaxis(levels, -1, 0)
    data = tiff(levels, photometric=photometric, planarconfig=planes, extrasamples=[kind])
    (page,) = decode_pages(data)
    scale = 257 if depth is deep else 1
    assert np.array_equal(page.alpha, ALPHA.astype(int) * scale)
    tolerance = 4 if kind == "assocalpha" else 1
    assert np.abs(page.rgb / scale - expected).max() <= tolerance
    assert not any("left out" in warning for warning in page.warnings)


@pytest.mark.parametrize("depth", [np.uint8, deep])
def test_a_channel_without_a_meaning_is_left_out_and_said(depth):
    data = tiff(depth(np.dstack([RGB, ALPHA])), photometric="rgb", extrasamples=["unspecified"])
    (page,) = decode_pages(data)
    assert page.alpha is None
    assert np.array_equal(page.rgb, depth(RGB))
    assert "a channel is left out" in page.warnings[0]


@pytest.mark.parametrize("depth", [np.uint8, deep])
def test_opacity_may_stand_behind_another_channel(depth):
    levels = depth(np.dstack([RGB, GRAY, ALPHA, GRAY]))
    kinds = ["unspecified", "unassalpha", "unspecified"]
    (page,) = decode_pages(tiff(levels, photometric="rgb", extrasamples=kinds))
    assert np.array_equal(page.alpha, depth(ALPHA))
    assert np.array_equal(page.rgb, depth(RGB))
    assert "2 channels are left out" in page.warnings[0]


def test_a_fourth_channel_that_no_tag_explains_is_opacity():
    pixels = np.dstack([RGB, ALPHA])
    data = bare_tiff(
        pixels.tobytes(), t256=[64], t257=[48], t258=[8] * 4, t259=[1], t262=[2], t273=[8],
        t277=[4], t278=[48], t279=[pixels.nbytes],
    )  # fmt: skip
    (page,) = decode_pages(data)
    assert np.array_equal(page.alpha, ALPHA)
    assert np.array_equal(page.rgb, RGB)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits(bits):
    levels = GRAY >> (8 - bits)
    packed = np.packbits((levels[..., None] >> np.arange(bits)[::-1]) & 1)
    tags = {
        "t256": [64], "t257": [48], "t258": [bits], "t259": [1], "t273": [8], "t277": [1],
        "t278": [48], "t279": [packed.nbytes],
    }  # fmt: skip
    shown = np.rint(levels * (255 / (2**bits - 1)))
    page = decode(bare_tiff(packed.tobytes(), t262=[1], **tags))
    assert np.array_equal(page.rgb[..., 0], shown)
    page = decode(bare_tiff(packed.tobytes(), t262=[0], **tags))
    assert np.array_equal(page.rgb[..., 0], 255 - shown)
    for step in (257, 1):  # palettes of 16 bits and, as old programs write them, of 8
        colors = np.random.default_rng(1).integers(0, 256, (3, 2**bits))
        colors[0, 0] = 255
        palette = [int(level) for level in (colors * step).reshape(-1)]
        page = decode(bare_tiff(packed.tobytes(), t262=[3], t320=palette, **tags))
        assert np.array_equal(page.rgb, colors.T[levels])


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("is_whole", [True, False])
def test_old_jpeg(mode, is_whole):
    buffer = io.BytesIO()
    picture = Image.fromarray(RGB).convert(mode)
    picture.save(buffer, "JPEG", quality=95, subsampling=2 if mode == "RGB" else 0)
    jpeg = buffer.getvalue()
    scan = next(part.end for part in walk_segments(jpeg) if part.marker == 0xDA)
    start = 0 if is_whole else scan
    channels = len(picture.getbands())
    data = bare_tiff(
        jpeg, t256=[64], t257=[48], t258=[8] * channels, t259=[6],
        t262=[6 if channels == 3 else 1], t273=[8 + start], t277=[channels], t278=[48],
        t279=[len(jpeg) - start], t512=[1], t513=[8], t514=[len(jpeg)],
        **({"t530": [2, 2]} if channels == 3 else {}),
    )  # fmt: skip
    difference = np.abs(decode(data).rgb.astype(int) - np.asarray(picture.convert("RGB")))
    assert difference.mean() < 5


@pytest.mark.parametrize("step", [1, 2])
def test_uncompressed_ycbcr(step):
    levels = np.asarray(Image.fromarray(RGB).convert("YCbCr"))
    units = [
        [*levels[y : y + step, x : x + step, 0].flat, *levels[y, x, 1:]]
        for y in range(0, 48, step)
        for x in range(0, 64, step)
    ]
    pixels = np.array(units, np.uint8).tobytes()
    data = bare_tiff(
        pixels, t256=[64], t257=[48], t258=[8] * 3, t259=[1], t262=[6], t273=[8], t277=[3],
        t278=[48], t279=[len(pixels)], t530=[step, step],
    )  # fmt: skip
    assert np.abs(decode(data).rgb.astype(int) - RGB).mean() < (2 if step == 1 else 8)


def segment_of(data: bytes, page: int) -> tuple[int, int]:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        found = file.pages[page]
        return found.dataoffsets[0], found.dataoffsets[0] + found.databytecounts[0]


@pytest.mark.parametrize("compression", ["lzw", "zlib", "jpeg", "webp", "zstd"])
def test_a_damaged_page_is_named_and_nothing_else_is_printed(compression, capfd):
    data = tiff_of_pages(NOISE, NOISE[::-1], NOISE, compression=compression)
    start, end = segment_of(data, 1)
    bad = data[:start] + b"\xff" * (end - start) + data[end:]
    pages = decode_pages(bad)
    assert next(pages).pages == 3
    with pytest.raises(InputError, match=r"^page 2 of 3: the picture is damaged"):
        next(pages)
    assert capfd.readouterr() == ("", "")


def test_what_is_left_of_a_damaged_page_is_kept_on_demand():
    pages = (np.vstack([NOISE] * 4), np.vstack([NOISE] * 4))
    data = tiff_of_pages(*pages, compression="lzw", rowsperstrip=64)
    start, end = segment_of(data, 1)
    bad = data[:start] + b"\xff" * (end - start) + data[end:]
    first, second = decode_pages(bad, keep_damaged=True)
    assert (first.damage, first.warnings) == ("", ())
    assert "missing or wrong" in second.damage
    assert np.array_equal(first.rgb, pages[0])
    assert not second.rgb[:64].any()
    assert np.array_equal(second.rgb[64:], pages[1][64:])


def test_a_page_that_is_lost_does_not_cost_the_others():
    data = tiff_of_pages(NOISE, NOISE, NOISE[::-1], compression="lzw")
    start, end = segment_of(data, 1)
    bad = data[:start] + b"\xff" * (end - start) + data[end:]
    pages = list(decode_pages(bad, keep_damaged=True))
    assert [bool(page.damage) for page in pages] == [False, True, False]
    assert pages[1].warnings[0].startswith("page 2 of 3 is damaged: ")
    assert not pages[1].rgb.any()
    assert np.array_equal(pages[2].rgb, NOISE[::-1])
    with pytest.raises(DamagedError, match="page 2 of 3"):
        list(decode_pages(bad))


@pytest.mark.parametrize("keep", [False, True])
def test_all_damaged_pages_are_named_at_once(keep):
    data = tiff_of_pages(NOISE, NOISE[:48], NOISE[::-1], NOISE[:, ::-1], compression="lzw")
    bad = bytearray(data)
    for number in (1, 3):
        start, end = segment_of(data, number)
        bad[start:end] = b"\xff" * (end - start)
    if keep:
        pages = list(decode_pages(bytes(bad), keep_damaged=True))
        assert [bool(page.damage) for page in pages] == [False, True, False, True]
        return
    pages = decode_pages(bytes(bad))
    assert np.array_equal(next(pages).rgb, NOISE)
    wanted = "pages 2 and 4 of 4: the picture is damaged: nothing of it can be decoded"
    with pytest.raises(DamagedError, match=wanted):
        next(pages)


def test_pages_that_cannot_be_read_are_named_with_their_reasons():
    data = tiff_of_pages(NOISE, NOISE[..., 0].astype(np.int32), NOISE[::-1], compression="lzw")
    start, end = segment_of(data, 2)
    bad = data[:start] + b"\xff" * (end - start) + data[end:]
    with pytest.raises(InputError) as caught:
        list(decode_pages(bad))
    assert caught.value.message.startswith("page 2 of 3: its pixels are int32")
    assert "; page 3 of 3: the picture is damaged" in caught.value.message
    assert not isinstance(caught.value, DamagedError)  # to keep what is left would not help


def test_of_a_single_page_something_must_be_left():
    data = tiff(NOISE, photometric="rgb", compression="lzw")
    start, end = segment_of(data, 0)
    bad = data[:start] + b"\xff" * (end - start) + data[end:]
    with pytest.raises(InputError) as caught:
        list(decode_pages(bad, keep_damaged=True))
    assert not isinstance(caught.value, DamagedError)


@pytest.mark.parametrize("layout", ["tiles", "planes"])
def test_tiles_and_planes_of_damaged_pages_are_kept(layout):
    options = {"tile": (32, 32)} if layout == "tiles" else {"planarconfig": "separate"}
    pixels = NOISE if layout == "tiles" else np.moveaxis(NOISE, -1, 0)
    data = tiff(pixels, photometric="rgb", compression="zlib", **options)
    start, end = segment_of(data, 0)
    bad = data[:start] + b"\xff" * (end - start) + data[end:]
    (page,) = decode_pages(bad, keep_damaged=True)
    expected = NOISE.copy()
    if layout == "tiles":
        expected[:32, :32] = 0
    else:
        expected[..., 0] = 0
    assert np.array_equal(page.rgb, expected)


def test_a_jpeg_within_a_tiff_that_lost_its_middle_is_damaged():
    data = tiff(NOISE, photometric="rgb", compression="jpeg")
    start, end = segment_of(data, 0)
    middle = (start + end) // 2
    bad = data[:middle] + b"\0" * 700 + data[middle + 700 :]
    assert decode(data).warnings == ()
    with pytest.raises(InputError, match="damaged"):
        decode(bad)
    (page,) = decode_pages(bad, keep_damaged=True)
    assert page.damage
    assert page.rgb[:16].any()


def test_a_strip_that_is_not_there_is_damage():
    data = bytearray(tiff(np.vstack([NOISE] * 2), photometric="rgb", rowsperstrip=64))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        sizes = file.pages[0].tags[279]
    form = {3: "<HH", 4: "<II"}[int(sizes.dtype)]
    struct.pack_into(form, data, sizes.valueoffset, NOISE.nbytes, 0)
    with pytest.raises(InputError, match="damaged"):
        decode(bytes(data))
    (page,) = decode_pages(bytes(data), keep_damaged=True)
    assert np.array_equal(page.rgb[:64], NOISE)
    assert not page.rgb[64:].any()


def test_a_picture_too_small_is_named_by_its_page(tmp_path, recolor):
    (tmp_path / "a.tif").write_bytes(tiff_of_pages(GRAY, GRAY[:6, :20]))
    _, err = recolor(tmp_path / "a.tif", "--device", "cpu", exit_code=1)
    assert "a.tif: page 2 of 2: 20x6 pixels are too few" in err


FAX_KINDS = {
    "group 4": {"compression": "group4"},
    "group 3": {"compression": "group3"},
    "group 3, two-dimensional": {"compression": "group3", "tiffinfo": {292: 1}},
    "runs": {"compression": "tiff_ccitt"},
}
LINES = np.linspace(0, 8, 200) + np.linspace(0, 3, 120)[:, None] ** 2
FAX = np.dstack([(np.sin(LINES) + np.random.default_rng(3).normal(0, 0.3, LINES.shape) > 0)] * 3)


def fax(kind: str, rows: int) -> bytes:
    """Return a TIFF in strips of so many rows."""
    buffer = io.BytesIO()
    options = dict(FAX_KINDS[kind])
    tags = options.pop("tiffinfo", {}) | {278: rows}
    Image.fromarray(FAX[..., 0]).save(buffer, "TIFF", tiffinfo=tags, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("rows", [50, 120])
@pytest.mark.parametrize("kind", FAX_KINDS)
def test_a_whole_fax_is_read(kind, rows):
    (page,) = decode_pages(fax(kind, rows))
    assert (page.damage, page.warnings) == ("", ())
    assert np.array_equal(page.rgb, FAX * np.uint8(255))


@pytest.mark.parametrize("kind", FAX_KINDS)
def test_a_fax_without_an_end_or_with_reversed_bits_is_whole(kind):
    data = fax(kind, 120)
    start, end = segment_of(data, 0)
    strip = data[start:end].rstrip(b"\0")
    tags = {"t256": [200], "t257": [120], "t258": [1], "t262": [1], "t273": [8], "t277": [1]}
    tags |= {"t278": [120], "t292": [FAX_KINDS[kind].get("tiffinfo", {}).get(292, 0)]}
    compression = [{"group4": 4, "group3": 3}.get(FAX_KINDS[kind]["compression"], 2)]
    for filling in (b"", b"\0", b"\0" * 40):
        content = strip.removesuffix(b"\0\x10\x01").removesuffix(b"\x10\x01") + filling
        bare = bare_tiff(content, t259=compression, t279=[len(content)], **tags)
        assert np.array_equal(decode(bare).rgb, FAX * np.uint8(255))
    bits = np.unpackbits(np.frombuffer(strip, np.uint8)).reshape(-1, 8)
    content = np.packbits(bits[:, ::-1]).tobytes()
    bare = bare_tiff(content, t259=compression, t266=[2], t279=[len(content)], **tags)
    assert np.array_equal(decode(bare).rgb, FAX * np.uint8(255))


@pytest.mark.parametrize("rows", [50, 120])
@pytest.mark.parametrize("damage", ["zeros", "ones", "noise", "removed", "cut", "cut and filled"])
@pytest.mark.parametrize("kind", FAX_KINDS)
def test_damage_within_a_fax_is_found_and_the_rest_kept_on_demand(kind, damage, rows):
    data = fax(kind, rows)
    start, end = segment_of(data, 0)
    at, size = (start + end) // 2, (end - start) // 5
    noise = np.random.default_rng(0).bytes(size)
    bad = {
        "zeros": data[:at] + bytes(size) + data[at + size :],
        "ones": data[:at] + b"\xff" * size + data[at + size :],
        "noise": data[:at] + noise + data[at + size :],
        "removed": data[:at] + data[at + size : end] + noise + data[end:],
        "cut": data[:at],
        "cut and filled": data[:at] + bytes(end - at) + data[end:],
    }[damage]
    if damage == "cut":  # the directory stands behind the strips of Pillow
        bad = with_strip_of(data, at - start)
    with pytest.raises(DamagedError, match="missing or wrong"):
        decode(bad)
    (page,) = decode_pages(bad, keep_damaged=True)
    assert page.damage
    assert np.array_equal(page.rgb[: rows // 3], FAX[: rows // 3] * np.uint8(255))
    if rows == 50:
        assert np.array_equal(page.rgb[50:], FAX[50:] * np.uint8(255))


def with_strip_of(data: bytes, size: int) -> bytes:
    """Return a TIFF whose directory gives the first strip so many bytes."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        sizes = file.pages[0].tags[279]
    changed = bytearray(data)
    form = {3: "<H", 4: "<I"}[int(sizes.dtype)]
    struct.pack_into(form, changed, sizes.valueoffset, size)
    return bytes(changed)


def levels_of(pixels: np.ndarray, count: int) -> list[np.ndarray]:
    return [pixels[:: 2**i, :: 2**i] for i in range(count)]


@pytest.mark.parametrize("kind", ["flags", "no flags", "old flags", "below"])
def test_the_levels_of_a_pyramid_are_no_pages(kind):
    full = np.tile(GRAY, (5, 5))[:230, :300]
    pages = levels_of(full, 3)
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for number, page in enumerate(pages):
            options: dict = {"tile": (64, 64)}
            if kind == "flags":
                options["subfiletype"] = int(number > 0)
            elif kind == "old flags":
                options["extratags"] = [(255, 3, 1, 2 if number else 1, True)]
            elif kind == "below" and number == 0:
                options["subifds"] = 2
            writer.write(page, photometric="minisblack", metadata=None, **options)
    (page,) = decode_pages(buffer.getvalue())
    assert page.rgb.shape == (230, 300, 3)
    assert "pyramid" in page.warnings[0]
    assert decode_pages(buffer.getvalue(), ImageFormat.JPEG).__next__().warnings == page.warnings


def test_pages_of_half_the_size_are_pages_unless_they_are_in_tiles():
    full = np.tile(GRAY, (5, 5))[:230, :300]
    assert len(list(decode_pages(tiff_of_pages(*levels_of(full, 3))))) == 3
    tiled = tiff_of_pages(full, full[:100], full[::2, ::3], tile=(64, 64))
    assert len(list(decode_pages(tiled))) == 3


def test_a_thumbnail_whose_picture_lies_in_a_directory_below_it():
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        small = {"subfiletype": 1, "subifds": 1}
        writer.write(RGB[::4, ::4], photometric="rgb", metadata=None, **small)
        writer.write(RGB, photometric="rgb", metadata=None, compression="zlib")
    (page,) = decode_pages(buffer.getvalue())
    assert np.array_equal(page.rgb, RGB)


def test_a_file_that_breaks_off_before_its_directory_lost_its_end():
    buffer = io.BytesIO()
    Image.fromarray(NOISE).save(buffer, "TIFF")
    assert decode(buffer.getvalue()).warnings == ()
    with pytest.raises(InputError, match="damaged: its end is missing"):
        decode(buffer.getvalue()[:5000])
    lzw = io.BytesIO()
    Image.fromarray(NOISE).save(lzw, "TIFF", compression="tiff_lzw")  # the directory comes last
    with pytest.raises(InputError, match="damaged: its end is missing"):
        decode(lzw.getvalue()[:5000])


def with_next_page(data: bytes, number: int) -> bytes:
    """Return a TIFF whose last directory names a place as that of the next one."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        place, code = file.pages.next_page_offset, file.tiff.offsetformat
    new = struct.pack(code, number)
    return data[:place] + new + data[place + len(new) :]


@pytest.mark.parametrize("is_big", [False, True])
@pytest.mark.parametrize("pages", [1, 2])
@pytest.mark.parametrize(
    ("number", "message"),
    [(0, "an earlier page as the next"), (1 << 30, "which is missing"), (5000, "which is missing")],
)
def test_a_list_of_pages_that_goes_nowhere_is_damage(is_big, pages, number, message):
    data = tiff_of_pages(*[NOISE, NOISE[::-1]][:pages], is_big=is_big)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        first = file.pages[0].offset
    bad = with_next_page(data, number or first)
    with pytest.raises(DamagedError, match=f"damaged: its directory names .*{message}"):
        list(decode_pages(bad))
    kept = list(decode_pages(bad, keep_damaged=True))
    assert len(kept) == pages
    assert message in kept[-1].warnings[0]
    assert np.array_equal(kept[-1].rgb, [NOISE, NOISE[::-1]][pages - 1])


def test_what_is_left_of_uncompressed_pixels_is_kept():
    data = tiff(NOISE, photometric="rgb")
    start, end = segment_of(data, 0)
    (page,) = decode_pages(data[: start + 64 * 3 * 20], keep_damaged=True)
    assert "end is missing" in page.damage
    assert np.array_equal(page.rgb[:20], NOISE[:20])
    assert not page.rgb[20:].any()
    # A size that is declared too large is none of damage.
    one = bytearray(data)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        size = file.pages[0].tags[279]
    struct.pack_into({3: "<H", 4: "<I"}[int(size.dtype)], one, size.valueoffset, end - start + 5000)
    assert np.array_equal(decode(bytes(one)).rgb, NOISE)
