import io
import os
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from conftest import draw, encoded
from recolor_cli import image_io
from recolor_cli.errors import InputError, OutputError
from recolor_cli.image_io import (
    ImageFormat,
    decode,
    encode,
    memory_needed,
    read,
    remove_leftovers,
    write_atomic,
)

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
    assert np.abs(image.rgb.astype(int) - rgb).mean() < 4
    result = decode(encode(image, image.rgb, image_format, 95))
    assert result.format is image_format
    assert np.abs(result.rgb.astype(int) - image.rgb).mean() < 2
    if image_format in (ImageFormat.PNG, ImageFormat.TIFF):
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
    result = decode(encode(image, 255 - image.rgb, image.format, 95))
    if image_format == "AVIF":  # its alpha is lossy
        assert np.abs(result.alpha.astype(int) - image.alpha).max() <= 6
    else:
        np.testing.assert_array_equal(result.alpha, image.alpha)


def test_transparency_lies_on_white_in_jpeg():
    rgba = np.dstack((np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16), np.uint8)))
    image = decode(encoded(rgba, "PNG"))
    assert decode(encode(image, image.rgb, ImageFormat.JPEG, 95)).rgb.min() > 250


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
    result = opened(encode(image, image.rgb, image.format, 95))
    assert result.getexif().get(ORIENTATION, 1) == 1
    assert result.getexif()[0x010E] == "The Kid"
    assert (result.height, result.width) == turned.shape[:2]


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_profile_and_exif_are_kept(image_format):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x8298] = "nobody"
    image = decode(encoded(draw(), image_format, icc_profile=profile, exif=exif))
    result = opened(encode(image, image.rgb, image.format, 95))
    assert result.info["icc_profile"] == profile
    assert result.getexif()[0x8298] == "nobody"


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "TIFF"])
def test_resolution_is_kept(image_format):
    image = decode(encoded(draw(), image_format, dpi=(300, 300)))
    result = opened(encode(image, image.rgb, image.format, 95))
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
    result = opened(encode(image, image.rgb, image.format, 95))
    profile = ImageCms.ImageCmsProfile(io.BytesIO(result.info["icc_profile"]))
    assert "sRGB" in ImageCms.getProfileDescription(profile)


def test_a_gray_profile_is_not_put_on_the_colored_result():
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = b"GRAY"  # still described as sRGB
    image = decode(encoded(draw()[..., 0], "JPEG", icc_profile=bytes(profile)))
    kept = opened(encode(image, image.rgb, image.format, 95)).info.get("icc_profile", b"")
    assert kept[16:20] in (b"", b"RGB ")


def test_the_profile_of_sixteen_bits_is_not_forgotten():
    gamma = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    deep = np.full((16, 16), 30_000, np.uint16)
    with_broken = decode(encoded(deep, "PNG", icc_profile=b"once upon a time" * 20))
    assert any("profile cannot be used" in warning for warning in with_broken.warnings)
    image = decode(encoded(deep, "PNG", icc_profile=gamma))
    assert image.metadata["icc_profile"] == gamma
    assert abs(int(image.rgb[0, 0, 0]) - 117) <= 1


def test_a_profile_that_is_broken_is_told():
    image = decode(encoded(draw(), "PNG", icc_profile=b"once upon a time" * 20))
    assert "profile cannot be used" in image.warnings[0]
    assert "icc_profile" not in opened(encode(image, image.rgb, image.format, 95)).info
    np.testing.assert_array_equal(image.rgb, draw())


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("target", list(ImageFormat))
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
    result = opened(encode(image, image.rgb, target, 95))
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
    for target in (ImageFormat.JPEG, ImageFormat.PNG, ImageFormat.WEBP):  # AVIF: Pillow rebuilds it
        result = opened(encode(image, image.rgb, target, 95))
        assert "Плакат 1942 é".encode() in result.info["exif"]
        assert result.getexif()[ORIENTATION] == 1
        assert (result.height, result.width) == (60, 90)


def test_sixteen_bits_with_white_as_zero():
    levels = np.full((16, 16), 60_000, np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, "TIFF", tiffinfo={262: 0})
    assert abs(int(decode(buffer.getvalue()).rgb[0, 0, 0]) - (255 - 60_000 // 257)) <= 1


def test_the_layout_of_a_tiff_is_not_metadata():
    buffer = io.BytesIO()
    Image.fromarray(draw()).save(buffer, "TIFF", compression="tiff_lzw", tiffinfo={270: "The Kid"})
    image = decode(buffer.getvalue())
    found = opened(encode(image, image.rgb, ImageFormat.JPEG, 95)).getexif()
    assert found[270] == "The Kid"
    assert not {256, 257, 258, 259, 273, 278, 279} & set(found)


def test_what_cannot_be_kept_is_said():
    pages = [Image.fromarray(draw(seed=i)) for i in range(3)]
    buffer = io.BytesIO()
    pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:])
    image = decode(buffer.getvalue())
    assert "3 pages" in image.warnings[0]
    np.testing.assert_array_equal(image.rgb, np.asarray(pages[0]))

    for ending in (".png", ".tif"):  # 16-bit RGB, which Pillow opens as if it had 8
        data = cv2.imencode(ending, np.full((16, 16, 3), 30_000, np.uint16))[1].tobytes()
        image = decode(data)
        assert "16 bits" in image.warnings[0]
        assert (np.abs(image.rgb.astype(int) - 117) <= 1).all()

    deep = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    for image_format in ("PNG", "TIFF"):
        image = decode(encoded(deep, image_format))
        assert "16 bits" in image.warnings[0]
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
        (b"GIF89a", "GIF"),
    ],
)
def test_what_is_no_picture_is_named(data, words):
    with pytest.raises(InputError, match=words) as caught:
        decode(data)
    assert caught.value.hint


def declared_png(width: int, height: int) -> bytes:
    """Return a PNG that says it is of some size, with next to nothing in it."""

    def chunk(name: bytes, body: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def test_the_memory_that_a_picture_takes_is_known_from_its_header():
    assert memory_needed(declared_png(400_000, 300_000)) == 400_000 * 300_000 * 24
    assert memory_needed(encoded(draw(), "WEBP")) == 90 * 60 * 52
    with pytest.raises(InputError, match="no picture"):
        memory_needed(b"once upon a time")


def test_a_file_larger_than_the_memory_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "x.jpg").write_bytes(b"x" * 100)
    monkeypatch.setattr(image_io, "available_memory", lambda: 99)
    with pytest.raises(InputError, match="larger than the free memory"):
        read(tmp_path / "x.jpg")


def test_available_memory_is_plausible():
    assert 2**24 < image_io.available_memory() < 2**50


def test_a_format_that_cannot_hold_the_picture_is_an_error():
    image = decode(encoded(np.zeros((8, 17_000, 3), np.uint8), "PNG"))
    with pytest.raises(OutputError, match="WEBP"):
        encode(image, image.rgb, ImageFormat.WEBP, 95)


def test_suffixes():
    assert ImageFormat.of_suffix(".JPG") is ImageFormat.JPEG
    assert ImageFormat.of_suffix(".txt") is None
    assert ImageFormat.TIFF.suffix == ".tif"


def test_a_written_file_is_whole_and_alone(tmp_path):
    path = tmp_path / "deep" / "er" / "x.jpg"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["x.jpg"]


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failure):
    path = tmp_path / "x.jpg"
    path.write_bytes(b"old")

    def fail(self, target):
        raise failure

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OutputError if isinstance(failure, OSError) else KeyboardInterrupt):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.jpg"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    original = Path.open

    def on_a_full_disk(self, mode="r", *args, **kwargs):
        original(self, mode).close()  # the name appears, as it would
        return original(Path("/dev/full"), "wb", *args, **kwargs)

    monkeypatch.setattr("pathlib.Path.open", on_a_full_disk)
    with pytest.raises(OutputError, match="No space left"):
        write_atomic(tmp_path / "x.jpg", b"x" * 100_000)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_removed_and_nothing_else(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    left = tmp_path / f".recolor-{image_io._host()}-{process.pid}-0123456789ab.tmp"
    running = tmp_path / f".recolor-{image_io._host()}-{os.getpid()}-0123456789ab.tmp"
    elsewhere = tmp_path / f".recolor-ffffff-{process.pid}-0123456789ab.tmp"
    others = [running, elsewhere, tmp_path / "x.jpg", tmp_path / ".recolor-notes.tmp"]
    for path in (left, *others):
        path.write_bytes(b"half")
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(others)
    remove_leftovers(tmp_path / "missing")


def test_two_runs_that_write_the_same_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "x.jpg"
    contents = [bytes([i]) * 200_000 for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda data: write_atomic(path, data), contents * 5))
    assert path.read_bytes() in contents
    assert [p.name for p in tmp_path.iterdir()] == ["x.jpg"]


def test_reading_says_what_is_wrong(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "missing.jpg")
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path)
