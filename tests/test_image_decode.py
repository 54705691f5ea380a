import io
import resource
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from conftest import draw, encoded
from recolor_cli.errors import InputError, OutputError
from recolor_cli.image.codec import codec_of
from recolor_cli.image.decode import decode, decode_pages
from recolor_cli.image.encode import ImageEncoding, encode, encode_all
from recolor_cli.image.failures import decoder_errors
from recolor_cli.image.formats import FORMAT_NAMES, READABLE, ImageFormat
from recolor_cli.image.formats.gif import canvas_pixels
from recolor_cli.image.formats.jpeg2000 import with_metadata
from recolor_cli.image.metadata import Metadata
from recolor_cli.image.probe import probe
from recolor_cli.image.unsupported import check_format

ORIENTATION = 0x0112


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("image_format", list(ImageFormat))
def test_each_format_comes_in_and_goes_out(image_format):
    rgb = draw()
    image = decode(encoded(rgb, image_format.value))
    assert image.format is image_format
    assert image.rgb.dtype == np.uint8
    assert image.alpha is None
    assert np.abs(image.rgb.astype(int) - rgb).mean() < (7 if image_format == "GIF" else 4)
    result = decode(encode(image, image.rgb, ImageEncoding(image_format)))
    assert result.format is image_format
    assert np.abs(result.rgb.astype(int) - image.rgb).mean() < 2
    if image_format in ("PNG", "TIFF", "JPEG2000", "BMP", "PPM"):
        np.testing.assert_array_equal(result.rgb, rgb)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_gray_becomes_rgb(image_format):
    gray = draw()[..., 0]
    image = decode(encoded(gray, image_format))
    assert image.rgb.shape == (*gray.shape, 3)
    assert np.ptp(image.rgb.astype(int), axis=-1).max() <= 2


@pytest.mark.parametrize("mode", ["1", "P", "L", "LA", "RGBA", "RGB"])
def test_png_modes(mode):
    source = Image.fromarray(draw()).convert(mode)
    buffer = io.BytesIO()
    source.save(buffer, "PNG")
    image = decode(buffer.getvalue())
    np.testing.assert_array_equal(image.rgb, np.asarray(source.convert("RGB")))
    assert (image.alpha is not None) == (mode in ("LA", "RGBA"))


def test_a_palette_with_a_transparent_color_has_alpha():
    source = Image.fromarray(draw()).quantize(8)
    buffer = io.BytesIO()
    source.save(buffer, "PNG", transparency=0)
    image = decode(buffer.getvalue())
    np.testing.assert_array_equal(image.alpha == 0, np.asarray(source) == 0)


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "TIFF", "AVIF"])
def test_transparency_passes_through(image_format):
    alpha = np.tile(np.linspace(0, 255, 60).astype(np.uint8), (90, 1))
    rgba = np.dstack((draw(), alpha))
    image = decode(encoded(rgba, image_format))
    result = decode(encode(image, 255 - image.rgb, ImageEncoding(image.format)))
    if image_format == "AVIF":  # its alpha is lossy
        assert np.abs(result.alpha.astype(int) - image.alpha).max() <= 6
    else:
        np.testing.assert_array_equal(result.alpha, image.alpha)


def test_transparency_lies_on_white_in_jpeg():
    rgba = np.dstack((np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16), np.uint8)))
    image = decode(encoded(rgba, "PNG"))
    assert decode(encode(image, image.rgb, ImageEncoding(ImageFormat.JPEG))).rgb.min() > 250


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_and_reset(image_format, orientation):
    rgb = draw(48, 80)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[0x010E] = "The Kid"
    data = encoded(
        rgb, image_format, exif=exif, **({"lossless": True} if image_format == "WEBP" else {})
    )
    image = decode(data)
    turned = {
        1: rgb, 2: rgb[:, ::-1], 3: rgb[::-1, ::-1], 4: rgb[::-1],
        5: rgb.transpose(1, 0, 2), 6: np.rot90(rgb, -1),
        7: rgb[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(rgb),
    }[orientation]  # fmt: skip
    assert image.rgb.shape == turned.shape
    assert np.abs(image.rgb.astype(int) - turned).mean() < 3
    result = opened(encode(image, image.rgb, ImageEncoding(image.format)))
    assert result.getexif().get(ORIENTATION, 1) == 1
    assert result.getexif()[0x010E] == "The Kid"
    assert (result.height, result.width) == turned.shape[:2]


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_profile_and_exif_are_kept(image_format):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x8298] = "nobody"
    image = decode(encoded(draw(), image_format, icc_profile=profile, exif=exif))
    result = opened(encode(image, image.rgb, ImageEncoding(image.format)))
    assert result.info["icc_profile"] == profile
    assert result.getexif()[0x8298] == "nobody"


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "TIFF"])
def test_resolution_is_kept(image_format):
    image = decode(encoded(draw(), image_format, dpi=(300, 300)))
    result = opened(encode(image, image.rgb, ImageEncoding(image.format)))
    assert tuple(round(float(v)) for v in result.info["dpi"]) == (300, 300)


def wide_profile() -> bytes:
    """Return sRGB's profile with another name and red and green swapped: no sRGB for sure."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    text = bytes(profile).replace(b"s\0R\0G\0B", b"w\0i\0d\0e").replace(b"sRGB", b"wide")
    return text.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_profile_that_is_not_srgb_is_converted(image_format):
    rgb = np.full((32, 32, 3), (200, 40, 90), np.uint8)
    image = decode(encoded(rgb, image_format, icc_profile=wide_profile()))
    assert image.warnings == ()
    assert (np.abs(image.rgb.astype(int) - (40, 200, 90)) <= 8).all()
    result = opened(encode(image, image.rgb, ImageEncoding(image.format)))
    profile = ImageCms.ImageCmsProfile(io.BytesIO(result.info["icc_profile"]))
    assert "sRGB" in ImageCms.getProfileDescription(profile)


def test_a_gray_profile_is_not_put_on_the_colored_result():
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = b"GRAY"  # still described as sRGB
    image = decode(encoded(draw()[..., 0], "JPEG", icc_profile=bytes(profile)))
    kept = opened(encode(image, image.rgb, ImageEncoding(image.format))).info.get(
        "icc_profile", b""
    )
    assert kept[16:20] in (b"", b"RGB ")


def test_the_profile_of_sixteen_bits_is_not_forgotten():
    gamma = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    deep = np.full((16, 16), 30_000, np.uint16)
    with_broken = decode(encoded(deep, "PNG", icc_profile=b"once upon a time" * 20))
    assert any("profile cannot be used" in warning for warning in with_broken.warnings)
    image = decode(encoded(deep, "PNG", icc_profile=gamma))
    assert image.metadata.icc_profile == gamma
    assert abs(int(image.rgb[0, 0, 0]) - 117) <= 1


def test_a_profile_that_is_broken_is_told():
    image = decode(encoded(draw(), "PNG", icc_profile=b"once upon a time" * 20))
    assert "profile cannot be used" in image.warnings[0]
    assert "icc_profile" not in opened(encode(image, image.rgb, ImageEncoding(image.format))).info
    np.testing.assert_array_equal(image.rgb, draw())


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("target", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "JPEG2000"])
def test_metadata_goes_from_each_format_to_each(source, target):
    exif = Image.Exif()
    exif[0x8298] = "nobody"
    exif.get_ifd(0x8769)[0x9003] = "1921:02:06 12:00:00"  # when it was taken, in the EXIF block
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"></x:xmpmeta>'
    options = {"dpi": (300, 300)}
    if source == "PNG":
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
    elif source == "TIFF":
        exif[700] = xmp
    else:
        options["xmp"] = xmp
    if source == "WEBP":
        exif[282], exif[283], exif[296] = 300.0, 300.0, 2
    image = decode(encoded(draw(), source, **options | {"exif": exif.tobytes()}))
    data = encode(image, image.rgb, ImageEncoding(ImageFormat(target)))
    if target == "JPEG2000":  # Pillow does not read it there
        again = decode(data).metadata
        assert b"nobody" in again.exif
        assert b"1921:02:06 12:00:00" in again.exif
        assert again.xmp.strip() == xmp
        return
    result = opened(data)
    found = result.getexif()
    assert found[0x8298] == "nobody"
    assert found.get_ifd(0x8769).get(0x9003) == "1921:02:06 12:00:00"
    kept = result.info.get("xmp") or result.info["XML:com.adobe.xmp"].encode()
    assert kept.strip() == xmp
    if source != "WEBP" or target not in ("JPEG", "PNG"):
        assert float(found[282] if target in ("WEBP", "AVIF") else result.info["dpi"][0]) == (
            pytest.approx(300, abs=0.5)
        )


def test_text_in_utf8_survives():
    exif = Image.Exif()
    exif[0x010E] = "x" * 30
    exif[ORIENTATION] = 6
    exif[0x9286] = "y"
    block = exif.tobytes().replace(b"x" * 30, "Плакат 1942 é".encode().ljust(30))
    data = encoded(draw(), "JPEG", exif=block)
    image = decode(data)
    for target in (ImageFormat.JPEG, ImageFormat.PNG, ImageFormat.WEBP, ImageFormat.AVIF):
        result = opened(encode(image, image.rgb, ImageEncoding(target)))
        assert "Плакат 1942 é".encode() in result.info["exif"]
        assert result.getexif().get(ORIENTATION, 1) == 1
        assert (result.height, result.width) == (60, 90)


def test_the_layout_of_a_tiff_is_not_metadata():
    buffer = io.BytesIO()
    Image.fromarray(draw()).save(buffer, "TIFF", compression="tiff_lzw", tiffinfo={270: "The Kid"})
    image = decode(buffer.getvalue())
    found = opened(encode(image, image.rgb, ImageEncoding(ImageFormat.JPEG))).getexif()
    assert found[270] == "The Kid"
    assert not {256, 257, 258, 259, 273, 278, 279} & set(found)


def test_what_a_format_cannot_hold_is_said():
    pages = [Image.fromarray(draw(seed=i)) for i in range(3)]
    buffer = io.BytesIO()
    pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:])
    (image,) = decode_pages(buffer.getvalue(), ImageFormat.PNG)
    assert "only the first of its 3 pages" in image.warnings[0]
    np.testing.assert_array_equal(image.rgb, np.asarray(pages[0]))

    buffer = io.BytesIO()
    pages[0].save(buffer, "GIF", save_all=True, append_images=pages[1:])
    (image,) = decode_pages(buffer.getvalue(), ImageFormat.JPEG)
    assert "only the first of its 3 frames" in image.warnings[0]

    deep = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    (image,) = decode_pages(encoded(deep, "PNG"), ImageFormat.WEBP)
    assert "8 bits" in image.warnings[0]
    np.testing.assert_allclose(image.rgb[..., 0], deep / 257, atol=0.51)

    assert decode(encoded(draw(), "PNG")).warnings == ()
    cmyk = io.BytesIO()
    Image.fromarray(draw()).convert("CMYK").save(cmyk, "JPEG")
    assert "CMYK" in decode(cmyk.getvalue()).warnings[0]


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_truncated_files_are_damaged(image_format, share):
    data = encoded(draw(200, 300), image_format)
    with pytest.raises(InputError):
        decode(data[: int(len(data) * share)])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"once upon a time", "no picture"),
        (b"%PDF-1.7 ...", "PDF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"GIF89a", "damaged"),
        (b"\0\0\0\x18ftypcrx isom", "RAW"),
        (b"II*\0\x10\0\0\0CR\2\0" + b"\0" * 40, "RAW"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><!-- x --><svg/>", "SVG"),
        (b"8BPS\0\1", "Photoshop"),
        (b"\xff\x0a\xfa\x7f", "JPEG XL"),
        (b"AT&TFORM", "DjVu"),
        (b"%!PS-Adobe", "PostScript"),
        (b"<!DOCTYPE html>\n<html><title>404</title></html>", "a web page, not a picture"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a pointer of Git LFS"),
        (b"\0\5\x16\7\0\2\0\0Mac OS X        ", "an AppleDouble file"),
        (b"v/1\1\2\0\0\0", "an OpenEXR file"),
        (b"XPDS\0\0\0\0", "a DPX file"),
        (b"P7\nWIDTH 3", "a PAM file"),
        (b"PK\3\4", "a ZIP file"),
    ],
)
def test_what_is_no_picture_is_named(data, words):
    with pytest.raises(InputError, match=words) as caught:
        decode(data)
    assert caught.value.hint


def test_an_avif_whose_first_brand_is_that_of_heic_is_read():
    data = encoded(draw(), "AVIF").replace(b"ftypavif", b"ftypmif1", 1)
    check_format(data)
    assert decode(data).format is ImageFormat.AVIF


def declared_png(width: int, height: int) -> bytes:
    """Return a PNG that says it is of some size, with next to nothing in it."""

    def chunk(name: bytes, body: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def test_what_a_picture_takes_is_known_from_its_header():
    found = probe(declared_png(400_000, 300_000))
    assert found.pixels == 400_000 * 300_000
    assert found.memory == found.pixels * 14
    assert probe(encoded(draw(), "WEBP")).memory == 90 * 60 * 52
    with pytest.raises(InputError, match="no picture"):
        probe(b"once upon a time")


def bombs() -> dict[str, bytes]:
    """Return small files that declare 60,000 x 60,000 pixels, or what their format can."""
    wide = struct.pack(">II", 60_000, 60_000)
    jp2 = encoded(draw(), "JPEG2000").replace(struct.pack(">II", 90, 60), wide)
    jp2 = jp2.replace(struct.pack(">II", 60, 90), wide)
    gif = bytearray(encoded(draw(), "GIF"))
    gif[6:10] = struct.pack("<HH", 60_000, 60_000)
    bmp = bytearray(encoded(draw(), "BMP"))
    bmp[18:26] = struct.pack("<ii", 60_000, 60_000)
    entries = [(256, 60_000), (257, 60_000), (258, 8), (259, 8), (262, 1), (273, 8), (277, 1)]
    entries += [(278, 60_000), (279, 100)]
    tiff = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries))
    tiff += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries) + b"\0" * 4
    lossless = bytearray(encoded(draw(), "WEBP", lossless=True))
    at = lossless.index(b"VP8L") + 9
    (head,) = struct.unpack_from("<I", lossless, at)
    struct.pack_into("<I", lossless, at, head & ~0xFFFFFFF | 16_383 << 14 | 16_383)
    avif = encoded(draw(), "AVIF").replace(
        b"ispe\0\0\0\0" + struct.pack(">II", 60, 90), b"ispe\0\0\0\0" + wide
    )
    return {
        "PNG": declared_png(60_000, 60_000),
        "JPEG2000": jp2,
        "GIF": bytes(gif),
        "BMP": bytes(bmp),
        "PPM": b"P6 60000 60000 255\n" + b"\0" * 100,
        "TIFF": tiff + b"\0" * 200,
        "WEBP": bytes(lossless),
        "AVIF": avif,
    }


@pytest.mark.parametrize("image_format", list(bombs()))
def test_bombs_are_told_by_their_headers_and_not_decoded(image_format):
    data = bombs()[image_format]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        assert probe(data).pixels >= 16_384**2
    except InputError:
        assert image_format in ("AVIF", "JPEG2000", "WEBP")  # their headers contradict each other
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


def test_a_frame_that_enlarges_the_canvas_of_a_gif_is_counted():
    buffer = io.BytesIO()
    frames = [Image.fromarray(draw(seed=i)) for i in range(3)]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    data = bytearray(buffer.getvalue())
    assert probe(bytes(data)).pixels == 3 * 60 * 90
    last = data.rindex(b"\x2c" + struct.pack("<HHHH", 0, 0, 60, 90))
    data[last + 1 : last + 9] = struct.pack("<HHHH", 0, 0, 50_000, 60_000)
    assert probe(bytes(data)).pixels == 3 * 50_000 * 60_000
    assert canvas_pixels(bytes(data[: last + 20])) == 50_000 * 60_000
    assert canvas_pixels(bytes(data[:4])) == 0


def test_texts_of_a_png_that_unpack_to_gigabytes_are_not_read():
    zeros = zlib.compress(b"\0" * 200_000_000)
    body = b"Title\0\0" + zeros
    text = struct.pack(">I", len(body)) + b"zTXt" + body
    text += struct.pack(">I", zlib.crc32(b"zTXt" + body))
    data = encoded(draw(), "PNG")
    page = decode(data[:33] + text + data[33:])
    assert "zTXt" in page.warnings[0]
    assert page.metadata.texts == ()


def test_a_format_that_cannot_hold_the_picture_is_an_error():
    image = decode(encoded(np.zeros((8, 17_000, 3), np.uint8), "PNG"))
    with pytest.raises(OutputError, match="WebP"):
        encode(image, image.rgb, ImageEncoding(ImageFormat.WEBP))


def test_suffixes():
    assert ImageFormat.of_suffix(".JPG") is ImageFormat.JPEG
    assert ImageFormat.of_suffix(".txt") is None
    assert ImageFormat.TIFF.suffix == ".tif"


@pytest.mark.parametrize("image_format", list(ImageFormat))
def test_each_line_of_the_table_has_its_module(image_format):
    assert codec_of(image_format).format is image_format
    assert {ImageFormat.of_suffix(suffix) for suffix in image_format.suffixes} == {image_format}
    assert ImageFormat.of_data(encoded(draw(), image_format.value)) is image_format
    assert image_format.prose_name in READABLE


def test_formats_have_short_names():
    assert list(FORMAT_NAMES) == [
        *("jpg", "png", "webp", "tif", "avif", "jp2", "gif", "bmp", "ppm", "jpeg", "tiff")
    ]  # fmt: skip
    assert FORMAT_NAMES["jp2"] is ImageFormat.JPEG2000
    assert FORMAT_NAMES["tiff"] is FORMAT_NAMES["tif"] is ImageFormat.TIFF


def test_pillows_limit_is_that_of_the_program_around(monkeypatch):
    code = (
        "from PIL import Image; before = Image.MAX_IMAGE_PIXELS;"
        "import recolor_cli, recolor_cli.image.compare, recolor_cli.image.formats.tiff;"
        "assert before and Image.MAX_IMAGE_PIXELS == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    frames = [Image.fromarray(draw(seed=i)) for i in range(3)]
    animations = []
    for image_format in ("GIF", "WEBP", "PNG"):
        buffer = io.BytesIO()
        frames[0].save(buffer, image_format, save_all=True, append_images=frames[1:])
        animations.append(buffer.getvalue())
    stills = [encoded(draw(), image_format.value) for image_format in ImageFormat]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for data in (*animations, *stills):
        header = probe(data)
        pages = decode_pages(data, header=header)
        first = next(pages)
        assert Image.MAX_IMAGE_PIXELS == 100  # between two pages, too
        results = [(first, first.rgb), *((page, page.rgb) for page in pages)]
        assert decode(encode_all(results, ImageEncoding())).rgb.shape == (90, 60, 3)
        assert Image.MAX_IMAGE_PIXELS == 100
    with pytest.raises(InputError):
        probe(b"GIF89a")
    assert Image.MAX_IMAGE_PIXELS == 100
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(stills[0]))


def test_pillows_limit_comes_back_after_the_last_thread(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with decoder_errors():
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(lambda: probe(encoded(draw(), "PNG")).pixels).result() == 90 * 60
        assert Image.MAX_IMAGE_PIXELS is None
    assert Image.MAX_IMAGE_PIXELS == 100


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "TIFF", "GIF"])
def test_a_header_is_parsed_once(image_format, monkeypatch):
    data = encoded(draw(), image_format)
    codec = codec_of(ImageFormat(image_format))
    opened = []
    original = type(codec).open
    monkeypatch.setattr(
        type(codec), "open", lambda self, data: opened.append(1) or original(self, data)
    )
    header = probe(data)
    first = next(decode_pages(data, header=header))
    assert len(opened) == 1
    again = next(decode_pages(data, header=header))  # which was read already
    assert len(opened) == 2
    np.testing.assert_array_equal(first.rgb, again.rgb)


def test_a_header_goes_with_another_target():
    pages = [Image.fromarray(draw(seed=i)) for i in range(3)]
    buffer = io.BytesIO()
    pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:])
    data = buffer.getvalue()
    assert len(list(decode_pages(data, header=probe(data, ImageFormat.PNG)))) == 3
    (first,) = decode_pages(data, ImageFormat.PNG, probe(data))
    assert "only the first of its 3 pages" in first.warnings[0]


@pytest.mark.parametrize("place", ["exif", "xmp"])
def test_orientation_of_jpeg_2000_is_applied(place):
    image = decode(encoded(draw(48, 80), "JPEG2000"))
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    metadata = Metadata(exif=exif.tobytes())
    if place == "xmp":
        metadata = Metadata(xmp=b'<x:xmpmeta tiff:Orientation="6" />')
    data = with_metadata(encode(image, image.rgb, ImageEncoding()), metadata)
    turned = decode(data)
    np.testing.assert_array_equal(turned.rgb, np.rot90(image.rgb, -1))
    again = decode(encode(turned, turned.rgb, ImageEncoding()))
    np.testing.assert_array_equal(again.rgb, turned.rgb)
