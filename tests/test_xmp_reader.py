"""The XMP of a file by its header."""

import shutil
import struct
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from test_xmp import MADE, SOURCE

from conftest import draw, encoded
from recolor_cli.image.decode import decode_pages
from recolor_cli.image.encode import ImageEncoding, encode_all
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.metadata import Metadata
from recolor_cli.image.xmp import add_provenance
from recolor_cli.image.xmp_reader import _AVIF_HEAD, read_provenance, read_xmp

PACKET = add_provenance(SOURCE.replace(b"<![CDATA[<c>]]>", b"c"), MADE)  # exiftool knows no CDATA
FORMATS = [f for f in ImageFormat if f not in (ImageFormat.BMP, ImageFormat.PPM)]
WITH_FRAMES = (ImageFormat.GIF, ImageFormat.PNG, ImageFormat.WEBP, ImageFormat.AVIF)


def with_packet(image_format: ImageFormat, rgb: np.ndarray, packet: bytes = PACKET) -> bytes:
    """Encode a picture with XMP, and with EXIF in front of it."""
    (page,) = decode_pages(encoded(rgb, "PNG"), image_format)
    exif = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"
    page = replace(page, metadata=Metadata(exif=exif, xmp=packet, dpi=(300.0, 300.0)))
    return encode_all([(page, page.rgb)], ImageEncoding(image_format))


def animation(image_format: ImageFormat) -> bytes:
    from PIL import Image

    frames = [Image.fromarray(draw(seed=seed)) for seed in range(3)]
    data = encoded(draw(), image_format.value, save_all=True, append_images=frames, duration=90)
    pages = list(decode_pages(data, image_format))
    assert pages[0].animation
    first = replace(pages[0], metadata=Metadata(xmp=PACKET))
    pages = [first, *pages[1:]]
    return encode_all([(page, page.rgb) for page in pages], ImageEncoding(image_format))


@pytest.mark.parametrize("image_format", FORMATS)
def test_each_format_that_holds_xmp_gives_it_back(image_format, tmp_path):
    path = tmp_path / f"a{image_format.suffix}"
    path.write_bytes(with_packet(image_format, draw()))
    assert read_xmp(str(path)) == PACKET
    (page,) = decode_pages(path.read_bytes())
    assert page.metadata.xmp == PACKET


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
def test_exiftool_shows_it(image_format, tmp_path):
    path = tmp_path / f"a{image_format.suffix}"
    path.write_bytes(with_packet(image_format, draw()))
    tags = ("DigitalSourceType", "CreatorTool", "XMP-recolor:Model", "DerivedFromFilePath")
    shown = subprocess.run(
        ["exiftool", "-s3", *(f"-{tag}" for tag in tags), path], capture_output=True, check=True
    )
    assert shown.stdout.decode().splitlines() == [
        "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia",
        "recolor 1.2",
        "poster",
        "räel & <one>.tif",
    ]
    checked = subprocess.run(["exiftool", "-validate", "-warning", path], capture_output=True)
    assert b"XMP" not in checked.stdout


@pytest.mark.parametrize("image_format", WITH_FRAMES)
def test_animations_hold_it_too(image_format, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(animation(image_format))
    assert read_xmp(str(path)) == PACKET
    assert next(decode_pages(path.read_bytes())).metadata.xmp == PACKET
    assert len(list(decode_pages(path.read_bytes(), image_format))) > 1


@pytest.mark.parametrize("image_format", [f for f in FORMATS if f is not ImageFormat.WEBP])
def test_the_head_of_a_file_is_enough(image_format, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    data = with_packet(image_format, noise)
    assert len(data) > 100_000
    path = tmp_path / "a"
    path.write_bytes(data[:20_000].ljust(len(data), b"\0"))
    assert read_xmp(str(path)) == PACKET


def test_the_packet_of_an_avif_may_lie_behind_its_pixels(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    data = with_packet(ImageFormat.AVIF, noise)
    assert len(data) > _AVIF_HEAD
    place = struct.pack(">I", data.index(PACKET))
    assert data.count(place) == 1
    moved = data.replace(PACKET, bytes(len(PACKET))).replace(place, struct.pack(">I", len(data)))
    path = tmp_path / "a"
    path.write_bytes(moved + PACKET)
    assert read_xmp(str(path)) == PACKET


def test_a_big_tiff(tmp_path):
    import tifffile

    path = tmp_path / "a.tif"
    for order in "<>":
        with tifffile.TiffWriter(path, bigtiff=True, byteorder=order) as writer:
            writer.write(draw(), extratags=[(700, 1, len(PACKET), PACKET, True)])
        assert read_xmp(str(path)) == PACKET


@pytest.mark.parametrize("image_format", FORMATS)
def test_broken_files_give_nothing_or_the_packet(image_format, tmp_path):
    data = with_packet(image_format, draw())
    path = tmp_path / "a"
    random = np.random.default_rng(0)
    for _ in range(150):
        changed = bytearray(data[: random.integers(1, len(data))])
        for at in random.integers(0, min(len(changed), 300), 4):
            changed[at] = random.integers(0, 256)
        path.write_bytes(changed)
        found = read_xmp(str(path))
        read_provenance(found)
        assert len(found) <= len(data)


def test_other_files_give_nothing(tmp_path):
    path = tmp_path / "a"
    for data in (b"", b"once upon a time", encoded(draw(), "BMP"), encoded(draw(), "PPM")):
        path.write_bytes(data)
        assert read_xmp(str(path)) == b""
    for image_format in FORMATS:
        path.write_bytes(with_packet(image_format, draw(), b""))
        assert read_xmp(str(path)) == b""
    assert read_xmp(str(tmp_path / "missing")) == b""
    assert read_xmp(str(tmp_path)) == b""
