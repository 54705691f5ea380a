"""Each kind of file that people have, really encoded, in and out."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from conftest import SpyNetwork, draw, encoded
from recolor_cli.color.lab import rgb_to_lab_cie, rgb_to_lightness
from recolor_cli.errors import DamagedError, InputError, OutputError
from recolor_cli.image.decode import decode, decode_pages
from recolor_cli.image.encode import ImageEncoding, encode, encode_all
from recolor_cli.image.formats import ImageFormat, color_suffix
from recolor_cli.image.probe import probe
from recolor_cli.recolorizer import Recolorizer

RGB = draw(60, 44)
GRAY = np.ascontiguousarray(RGB[..., 1])
DEEP = np.random.default_rng(1).integers(0, 65536, (60, 44, 3), dtype=np.uint16)
ALPHA = np.random.default_rng(2).integers(0, 65536, (60, 44), dtype=np.uint16)


def tiff(pixels, **options) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, metadata=None, **options)
    return buffer.getvalue()


def pillow(mode: str, image_format: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(RGB).convert(mode).save(buffer, image_format, **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def bare_png(pixels: np.ndarray, bits: int, color: int, interlaced: bool = False) -> bytes:
    """Encode a PNG of any depth, and in Adam7, as Pillow does not."""

    def lines(part: np.ndarray) -> bytes:
        rows = part.reshape(part.shape[0], -1)
        if bits == 16:
            return b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)
        spread = (rows[..., None] >> np.arange(bits - 1, -1, -1)) & 1
        return b"".join(
            b"\0" + np.packbits(row.astype(np.uint8).reshape(-1)).tobytes() for row in spread
        )

    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [
            (0, 0, 8, 8),
            (0, 4, 8, 8),
            (4, 0, 8, 4),
            (0, 2, 4, 4),
            (2, 0, 4, 2),
            (0, 1, 2, 2),
        ]
        passes.append((1, 0, 2, 1))
    data = b"".join(lines(pixels[y::dy, x::dx]) for y, x, dy, dx in passes)
    head = struct.pack(">IIBBBBB", *pixels.shape[1::-1], bits, color, 0, 0, interlaced)
    body = chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body


def same(data: bytes, expected: np.ndarray, within: float = 0) -> None:
    """Check what is read, and that a result of the same format is the same to read."""
    found = list(decode_pages(data))
    assert found[0].rgb.dtype == expected.dtype
    expected = expected if expected.ndim == 3 else np.dstack([expected] * 3)
    assert np.abs(found[0].rgb.astype(int) - expected).mean() <= within
    again = list(
        decode_pages(encode_all(((picture, picture.rgb) for picture in found), ImageEncoding()))
    )
    assert len(again) == len(found)
    for before, after in zip(found, again, strict=True):
        assert after.format is before.format
        assert after.rgb.dtype == before.rgb.dtype
        assert np.abs(after.rgb.astype(int) - before.rgb).mean() <= within
        if before.alpha is not None:
            np.testing.assert_array_equal(after.alpha, before.alpha)


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {"progressive": True}),
        ("L", {}),
        ("RGB", {"subsampling": "4:4:4"}),
        ("RGB", {"subsampling": "4:2:2"}),
        ("RGB", {"subsampling": "4:2:0"}),
    ],
)
def test_jpeg(mode, options):
    expected = np.asarray(Image.fromarray(RGB).convert(mode))
    same(pillow(mode, "JPEG", quality=95, **options), expected, 2)


@pytest.mark.parametrize("kind", ["CMYK", "YCCK"])
def test_jpeg_of_four_inks_as_adobe_turns_them_over(kind):
    cmyk = np.asarray(Image.fromarray(RGB).convert("CMYK"))
    data = bytes(
        imagecodecs.jpeg8_encode(
            255 - cmyk, level=97, colorspace="CMYK", outcolorspace=kind, subsampling="444"
        )
    )
    if b"Adobe" not in data:  # says that the inks are turned over, and how they are mixed
        adobe = b"Adobe" + struct.pack(">HHHB", 100, 0, 0, 2 if kind == "YCCK" else 0)
        data = data[:2] + b"\xff\xee" + struct.pack(">H", 2 + len(adobe)) + adobe + data[2:]
    image = decode(data)
    assert np.abs(image.rgb.astype(int) - RGB).mean() < 3
    assert "CMYK" in image.warnings[0]
    assert decode(encode(image, image.rgb, ImageEncoding())).rgb.shape == RGB.shape


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_png_of_few_bits(bits, interlaced):
    levels = GRAY >> (8 - bits)
    same(bare_png(levels, bits, 0, interlaced), levels * (255 // ((1 << bits) - 1)))


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("color", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_png_of_16_bits(color, channels, interlaced):
    pixels = np.dstack((DEEP, ALPHA))[
        ..., {1: [0], 2: [0, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[channels]
    ]
    data = bare_png(pixels, 16, color, interlaced)
    same(data, DEEP[..., 0] if channels < 3 else DEEP)
    (image,) = decode_pages(data)
    assert (image.alpha is None) == (channels in (1, 3))


@pytest.mark.parametrize("mode", ["P", "LA", "RGBA", "1"])
def test_png_modes(mode):
    expected = np.asarray(Image.fromarray(RGB).convert(mode).convert("RGB"))
    same(pillow(mode, "PNG"), expected)


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits"])
@pytest.mark.parametrize("tile", [None, (16, 32)])
@pytest.mark.parametrize(
    ("pixels", "options"),
    [
        (GRAY, {}),
        (DEEP[..., 0], {}),
        (DEEP[..., 0], {"byteorder": ">"}),
        (RGB, {"photometric": "rgb"}),
        (DEEP, {"photometric": "rgb"}),
    ],
)
def test_tiff(pixels, options, compression, tile):
    same(tiff(pixels, compression=compression, tile=tile, **options), pixels)


def test_tiff_of_other_kinds():
    same(tiff(np.moveaxis(DEEP, -1, 0), photometric="rgb", planarconfig="separate"), DEEP)
    same(tiff(65535 - DEEP[..., 0], photometric="miniswhite"), DEEP[..., 0])
    same(tiff(RGB, photometric="rgb", bigtiff=True), RGB)
    same(
        pillow("1", "TIFF", compression="group4"),
        np.asarray(Image.fromarray(RGB).convert("1")) * np.uint8(255),
    )
    same(pillow("RGB", "TIFF", compression="jpeg", quality=95), RGB, 2)
    same(pillow("P", "TIFF"), np.asarray(Image.fromarray(RGB).convert("P").convert("RGB")))
    twelve = (DEEP[..., 0] >> 4).astype(np.uint16)
    same(
        tiff(twelve, bitspersample=12),
        np.rint(twelve * (65535 / 4095)).astype(np.uint16),
    )


@pytest.mark.parametrize("depth", [8, 16])
def test_tiff_of_four_inks(depth):
    cmyk = np.asarray(Image.fromarray(RGB).convert("CMYK"))
    pixels = cmyk if depth == 8 else cmyk.astype(np.uint16) * 257
    (image,) = decode_pages(tiff(pixels, photometric="separated"))
    assert np.abs(image.rgb / (1 if depth == 8 else 257) - RGB).mean() < 1
    assert "CMYK" in image.warnings[0]


@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
def test_tiff_with_transparency_of_16_bits(kind):
    alpha = np.maximum(ALPHA, 30_000)
    color = DEEP if kind == "unassalpha" else np.rint(DEEP * (alpha / 65535)[..., None])
    pixels = np.dstack((color.astype(np.uint16), alpha))
    (image,) = decode_pages(tiff(pixels, photometric="rgb", extrasamples=[kind]))
    np.testing.assert_array_equal(image.alpha, alpha)
    np.testing.assert_allclose(image.rgb, DEEP, atol=2)


def test_tiff_of_many_pages_keeps_all_and_drops_thumbnails():
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(RGB, photometric="rgb", description="first", metadata=None)
        writer.write(RGB[::4, ::4], photometric="rgb", subfiletype=1, metadata=None)
        writer.write(
            DEEP, photometric="rgb", compression="lzw", resolution=(300, 300), metadata=None
        )
        writer.write(GRAY, photometric="minisblack", description="third", metadata=None)
    found = list(decode_pages(buffer.getvalue()))
    result = encode_all(((picture, 255 - picture.rgb) for picture in found), ImageEncoding())
    with tifffile.TiffFile(io.BytesIO(result)) as file:
        assert [page.shape for page in file.pages] == [RGB.shape, DEEP.shape, RGB.shape]
        assert [page.dtype for page in file.pages] == [np.uint8, np.uint16, np.uint8]
        assert [page.description for page in file.pages] == ["first", "", "third"]
        assert file.pages[1].resolution == (300, 300)
        np.testing.assert_array_equal(file.pages[0].asarray(), 255 - RGB)


def test_a_tile_that_is_larger_than_its_page_is_counted():
    data = bytearray(tiff(DEEP[..., 0], tile=(16, 16), compression="zlib"))
    assert probe(bytes(data)).pixels == 60 * 44
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        place = file.pages[0].tags["TileWidth"].valueoffset
        kind = file.pages[0].tags["TileWidth"].dtype
    struct.pack_into("<H" if kind == 3 else "<I", data, place, 65_520)
    assert probe(bytes(data)).pixels == 65_520 * 16


FLOATS = RGB.astype(np.float32) / 255


@pytest.mark.parametrize(
    ("pixels", "options"),
    [
        (FLOATS, {}),
        (FLOATS, {"compression": "zlib", "predictor": True, "tile": (16, 32)}),
        (FLOATS.astype(np.float64), {"planarconfig": "separate"}),
        (FLOATS.astype(np.float16), {}),
        (FLOATS[..., 1], {}),
        (np.dstack((FLOATS, ALPHA.astype(np.float32) / 65535)), {"extrasamples": ["unassalpha"]}),
    ],
)
def test_tiff_of_floating_point_numbers(pixels, options):
    kind = "minisblack" if pixels.ndim == 2 else "rgb"
    if "planarconfig" in options:
        pixels = np.moveaxis(pixels, -1, 0)
    data = tiff(pixels, photometric=kind, **options)
    picture = next(decode_pages(data))
    assert picture.rgb.dtype == np.uint16
    expected = RGB if pixels.ndim == 3 else GRAY[..., None]
    error = np.abs(picture.rgb / 65535 - expected / 255).max()
    assert error < (1e-3 if pixels.dtype == np.float16 else 1e-5)
    assert (picture.alpha is not None) == ("extrasamples" in options)
    assert picture.warnings == ("its floating-point levels are read as sRGB and kept in 16 bits",)
    assert probe(data).memory > probe(tiff(DEEP)).memory


def test_floating_point_numbers_are_read_by_their_profile():
    corners = (0.64, 0.33, 1.0, 0.30, 0.60, 1.0, 0.15, 0.06, 1.0)
    linear = imagecodecs.cms_profile(
        "rgb", whitepoint=(0.3127, 0.3290, 1.0), primaries=corners, gamma=1.0
    )
    light = np.where(FLOATS <= 0.04045, FLOATS / 12.92, ((FLOATS + 0.055) / 1.055) ** 2.4)
    data = tiff(light.astype(np.float32), photometric="rgb", iccprofile=linear)
    picture = next(decode_pages(data))
    assert np.abs(picture.rgb / 65535 - FLOATS).max() < 2 / 255
    assert picture.warnings == ("its floating-point levels are kept in 16 bits",)


@pytest.mark.parametrize("spoilt", [255.0, -40.0, np.nan, np.inf])
def test_floating_point_numbers_that_are_no_levels_are_a_clear_error(spoilt):
    pixels = FLOATS.copy()
    pixels[3, 4, 1] = spoilt
    with pytest.raises(InputError, match=f"{spoilt:g}.*0 is black and 1 is white") as caught:
        decode(tiff(pixels, photometric="rgb"))
    assert "magick" in caught.value.hint


def lab_d50(rgb: np.ndarray) -> np.ndarray:
    """Return CIELAB relative to D50, by another program than ours."""
    lab = ImageCms.createProfile("LAB", 5000)
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), lab, "RGB", "LAB")
    levels = np.asarray(ImageCms.applyTransform(Image.fromarray(rgb), to_lab))
    ab = np.ascontiguousarray(levels[..., 1:]).view(np.int8)
    return np.dstack((levels[..., 0] / 2.55, ab.astype(float)))


def test_tiff_of_cielab_as_pillow_writes_it():
    lab = ImageCms.createProfile("LAB", 5000)
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), lab, "RGB", "LAB")
    buffer = io.BytesIO()
    ImageCms.applyTransform(Image.fromarray(RGB), to_lab).save(buffer, "TIFF")
    picture = next(decode_pages(buffer.getvalue()))
    assert picture.rgb.dtype == np.uint8
    assert picture.warnings == ()
    assert np.abs(picture.rgb.astype(int) - RGB).mean() < 1.5


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", ["cielab", "icclab"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_tiff_of_cielab_by_its_specification(bits, kind, planes):
    lab = lab_d50(RGB)
    deep, top = bits == 16, 2**bits - 1
    white = 65280 if deep and kind == "icclab" else top
    start = 128 if kind == "icclab" else 0
    ab = np.rint((lab[..., 1:] + start) * (256 if deep else 1)).astype(np.int32)
    levels = np.dstack((np.rint(lab[..., 0] / 100 * white), ab)).astype(np.int32) & top
    pixels = levels.astype(np.uint16 if deep else np.uint8)
    if planes == "separate":
        pixels = np.moveaxis(pixels, -1, 0)
    profile = imagecodecs.cms_profile("lab2")  # Photoshop puts one in
    data = tiff(pixels, photometric=kind, planarconfig=planes, iccprofile=profile)
    picture = next(decode_pages(data))
    assert picture.rgb.dtype == pixels.dtype
    assert picture.warnings == ()
    assert np.abs(picture.rgb / top * 255 - RGB).mean() < 1.5
    lightness = rgb_to_lab_cie(picture.rgb / np.float32(top))[..., 0]
    assert np.abs(lightness - lab[..., 0]).mean() < 0.5


def test_tiff_of_cielab_relative_to_d65_says_so_by_its_white_point():
    lab = rgb_to_lab_cie(RGB / np.float32(255))
    levels = np.rint(lab * (655.35, 256, 256)).astype(np.int32) & 65535
    white = (318, 5, 2, (3127, 10000, 3290, 10000), True)
    data = tiff(levels.astype(np.uint16), photometric="cielab", extratags=[white])
    assert np.abs(next(decode_pages(data)).rgb / 257 - RGB).mean() < 0.5


@pytest.mark.parametrize("pixels", [DEEP[..., 0].astype(np.uint32), DEEP.astype(np.int16)])
def test_tiff_of_other_numbers_is_a_clear_error(pixels):
    with pytest.raises(InputError, match="cannot be read") as caught:
        decode(tiff(pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack"))
    assert "magick" in caught.value.hint


@pytest.mark.parametrize("tag", [(50706, 1, 4, b"\1\4\0\0", True)])
def test_a_camera_raw_in_the_clothes_of_a_tiff(tag):
    with pytest.raises(InputError, match="RAW") as caught:
        decode(tiff(RGB, photometric="rgb", extratags=[tag]))
    assert "darktable" in caught.value.hint
    with pytest.raises(InputError, match="RAW"):
        decode(tiff(DEEP[..., 0], photometric=32803))


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_webp_stays_lossless_or_not(mode, lossless):
    data = pillow(
        mode, "WEBP", lossless=lossless, quality=95, exif=b"Exif\0\0" if lossless else b""
    )
    same(data, RGB, 0 if lossless else 3)
    image = decode(data)
    result = encode(image, image.rgb, ImageEncoding())
    assert (b"VP8L" in result[:200]) == lossless


def test_avif():
    same(pillow("RGB", "AVIF", quality=95), RGB, 4)


@pytest.mark.parametrize("pixels", [GRAY, RGB, DEEP[..., 0], DEEP, np.dstack((DEEP, ALPHA))])
def test_jpeg_2000(pixels):
    data = bytes(
        imagecodecs.jpeg2k_encode(np.ascontiguousarray(pixels), level=0, codecformat="jp2")
    )
    same(data, pixels[..., :3] if pixels.ndim == 3 else pixels)


@pytest.mark.parametrize(
    ("head", "body", "expected"),
    [
        (b"P4 44 60\n", np.packbits(GRAY < 128, axis=1).tobytes(), (GRAY >= 128) * np.uint8(255)),
        (b"P5 44 60 255\n", GRAY.tobytes(), GRAY),
        (b"P6\n# a note\n44 60\n255\n", RGB.tobytes(), RGB),
        (b"P5 44 60 65535\n", DEEP[..., 0].astype(">u2").tobytes(), DEEP[..., 0]),
        (b"P6\n# a note\n44 60\n65535\n", DEEP.astype(">u2").tobytes(), DEEP),
        (b"P3 44 60 255\n", b" ".join(b"%d" % v for v in RGB.ravel()), RGB),
    ],
)
def test_pnm(head, body, expected):
    same(head + body, expected)


BITS = (GRAY >= 128) * np.uint8(255)
PNM_TEXTS = {  # with what stands between the levels
    "P1": (b"P1 44 60\n", b"", GRAY < 128, BITS),
    "P1 in words": (b"P1 44 60\n", b" ", GRAY < 128, BITS),
    "P2": (b"P2\n44 60\n255 # of 1 2 3\n", b"\n", GRAY, GRAY),
    "P2 of 16 bits": (b"P2 44 60 65535\n", b" ", DEEP[..., 0], DEEP[..., 0]),
    "P3 of 16 bits": (b"P3 44 60 65535\n", b" ", DEEP, DEEP),
}
BEHIND = [b"", b"\njunk # and more", b"\n\x1a", b"\n\0\0", b"\n-1 7", b"\nP2 1 1 1 1"]


@pytest.mark.parametrize("kind", PNM_TEXTS)
@pytest.mark.parametrize("rest", BEHIND)
def test_pnm_of_text_ends_with_its_last_level(kind, rest):
    head, gap, levels, expected = PNM_TEXTS[kind]
    same(head + gap.join(b"%d" % level for level in levels.ravel()) + rest, expected)


@pytest.mark.parametrize("kind", PNM_TEXTS)
def test_pnm_of_text_with_something_else_among_its_levels(kind):
    head, gap, levels, expected = PNM_TEXTS[kind]
    words = [b"%d" % level for level in levels.ravel()]
    words[len(words) // 2] = b" x "
    data = head + gap.join(words)
    with pytest.raises(DamagedError):
        decode(data)
    kept = next(decode_pages(data, keep_damaged=True)).rgb
    expected = np.broadcast_to(expected.reshape(60, 44, -1), (60, 44, 3))
    np.testing.assert_array_equal(kept[:30], expected[:30])


def test_pnm_with_fewer_levels_than_its_bytes_hold():
    levels = (DEEP[..., 0] >> 6).astype(">u2")
    (image,) = decode_pages(b"P5 44 60 1023\n" + levels.tobytes())
    np.testing.assert_allclose(image.rgb[..., 0], levels * (65535 / 1023), atol=0.5)
    with pytest.raises(InputError, match="damaged"):
        decode(b"P5 44 60 1022\n" + np.full(44 * 60, 1023, ">u2").tobytes())
    with pytest.raises(InputError, match="damaged"):
        decode(b"P6 44 60 65535\n" + b"\0" * 100)
    with pytest.raises(InputError, match="a level is above the highest"):
        decode(b"P2 2 1 9\n9 10\n")


def test_bmp():
    same(pillow("RGB", "BMP"), RGB)
    same(pillow("P", "BMP"), np.asarray(Image.fromarray(RGB).convert("P").convert("RGB")))


def test_gif():
    source = Image.fromarray(RGB).quantize(64)
    buffer = io.BytesIO()
    source.save(buffer, "GIF")
    same(buffer.getvalue(), np.asarray(source.convert("RGB")), 1)


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG", "AVIF"])
@pytest.mark.parametrize("target", ["GIF", "WEBP", "PNG", "AVIF"])
def test_animations_keep_their_frames_and_timing(image_format, target):
    frames = [Image.fromarray(draw(48, 64, seed=i)) for i in range(4)]
    buffer = io.BytesIO()
    frames[0].save(
        buffer, image_format, save_all=True, append_images=frames[1:],
        duration=[40, 120, 200, 80], loop=0,
    )  # fmt: skip
    found = list(decode_pages(buffer.getvalue(), ImageFormat(target)))
    assert len(found) == 4
    assert {picture.warnings for picture in found} == {()}
    result = encode_all(
        ((picture, picture.rgb[:, ::-1]) for picture in found), ImageEncoding(ImageFormat(target))
    )
    with Image.open(io.BytesIO(result)) as image:
        assert image.format == target
        assert image.n_frames == 4
        durations = []
        for index, frame in enumerate(frames):
            image.seek(index)
            image.load()
            durations.append(image.info["duration"])
            shown = np.asarray(image.convert("RGB")).astype(int)
            assert np.abs(shown[:, ::-1] - np.asarray(frame)).mean() < 12
        assert durations == [40, 120, 200, 80]
        if target in ("GIF", "PNG", "WEBP") and image_format != "AVIF":
            assert image.info["loop"] == 0


def test_an_animation_that_is_shown_once_is_shown_once():
    frames = [Image.fromarray(draw(48, 64, seed=i)) for i in range(2)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=50)
    found = list(decode_pages(buffer.getvalue()))
    result = encode_all(((picture, picture.rgb) for picture in found), ImageEncoding())
    with Image.open(io.BytesIO(result)) as image:
        assert "loop" not in image.info


@pytest.mark.parametrize("target", ["PNG", "TIFF", "JPEG2000", "PPM"])
def test_16_bits_in_are_16_bits_out_and_the_lightness_is_that_of_all_of_them(manifest, target):
    ramp = np.linspace(2_000, 63_000, 96 * 128).round().astype(np.uint16).reshape(96, 128)
    (image,) = decode_pages(tiff(ramp), ImageFormat(target))
    rgb = Recolorizer(SpyNetwork(manifest, (6.0, -4.0))).recolor(image.rgb)
    data = encode(image, rgb, ImageEncoding(ImageFormat(target)))
    (result,) = decode_pages(data)
    assert result.rgb.dtype == np.uint16
    np.testing.assert_array_equal(result.rgb, rgb)
    # 8 bits would have errors of up to 0.2 and 250 levels; these have more than 10,000.
    assert np.abs(rgb_to_lightness(result.rgb) - rgb_to_lightness(image.rgb)).max() < 0.01
    assert len(np.unique(result.rgb[..., 1])) > 10_000


def test_names():
    assert ImageFormat.of_suffix(".JPG") is ImageFormat.JPEG
    assert ImageFormat.of_suffix(".txt") is None
    assert ImageFormat.TIFF.suffix == ".tif"
    assert [color_suffix(s) for s in (".pgm", ".PBM", ".pnm", ".jpg")] == [
        ".ppm",
        ".ppm",
        ".pnm",
        ".jpg",
    ]
    assert encoded(RGB, "PPM")[:2] == b"P6"


@pytest.mark.parametrize(
    ("image_format", "most"), [(ImageFormat.JPEG, 65_500), (ImageFormat.WEBP, 16_383)]
)
def test_a_picture_too_large_for_a_format_is_told_so(image_format, most):
    picture = decode(encoded(np.zeros((8, most + 1, 3), np.uint8), "PNG"))
    with pytest.raises(OutputError) as caught:
        encode(picture, picture.rgb, ImageEncoding(image_format))
    assert caught.value.message == (
        f"cannot be written as {image_format.prose_name}, which holds {most:,} pixels a side at "
        f"most: it has {most + 1:,}"
    )
    assert "--format png" in caught.value.hint


def test_a_jpeg_of_the_longest_sides_is_read():
    wide = np.tile(draw(8, 64)[..., 0], (1, 1023))[:, :65_472]
    wide = np.hstack([wide, wide[:, :50]])
    jpeg = bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(wide), level=95))
    assert np.abs(decode(jpeg).rgb[..., 0].astype(int) - wide).mean() < 3


def test_the_text_of_a_library_reaches_nobody(monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("<_io.BytesIO object at 0x7f>")

    monkeypatch.setattr(imagecodecs, "png_encode", fail)
    picture = decode(encoded(draw(), "PNG"))
    with pytest.raises(OutputError) as caught:
        encode(picture, picture.rgb, ImageEncoding())
    assert caught.value.message == "cannot be written as PNG"
    assert "--format tif" in caught.value.hint
