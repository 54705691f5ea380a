"""Profiles, checked with LittleCMS as Pillow calls it: another caller than the program's."""

import io
import struct

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms

from conftest import SpyNetwork, draw
from recolor_cli.color.lab import lab_to_rgb_cie, rgb_to_lab_cie
from recolor_cli.errors import InputError, OutputError
from recolor_cli.image.color_profiles import SRGB, Space, from_srgb, is_srgb, space_of, to_srgb
from recolor_cli.image.decode import decode, decode_pages
from recolor_cli.image.encode import ImageEncoding, encode, encode_all
from recolor_cli.image.formats import ImageFormat
from recolor_cli.recolorizer import Recolorizer

D65, D50 = (0.3127, 0.3290), (0.3457, 0.3585)


def rgb_profile(white, red, green, blue, gamma) -> bytes:
    primaries = [value for x, y in (red, green, blue) for value in (x, y, 1.0)]
    return imagecodecs.cms_profile(
        "rgb", whitepoint=[*white, 1.0], primaries=primaries, gamma=gamma
    )


WIDE = {
    "Adobe RGB": imagecodecs.cms_profile("adobergb"),
    "Display P3": rgb_profile(D65, (0.68, 0.32), (0.265, 0.69), (0.15, 0.06), 2.2),
    "ProPhoto": rgb_profile(D50, (0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001), 1.8),
}
GRAY_22 = imagecodecs.cms_profile("gray", gamma=2.2)


def cmyk_profile() -> bytes:
    """Return a small profile of four inks: tables of 8 bits (ICC.1:2001-04, section 6.5.8)."""

    def lut(channels: tuple[int, int], grid: int, values: np.ndarray) -> bytes:
        head = b"mft1\0\0\0\0" + bytes([*channels, grid, 0])
        head += struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
        line = bytes(range(256))
        return head + line * channels[0] + values.astype(np.uint8).tobytes() + line * channels[1]

    ink = np.stack(np.meshgrid(*[np.linspace(0, 1, 9)] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    rgb = 0.12 + 0.83 * (1 - ink[:, :3]) * (1 - ink[:, 3:])
    to_lab = rgb_to_lab_cie(rgb.astype(np.float32)) * (2.55, 1, 1) + (0, 128, 128)
    lab = np.stack(np.meshgrid(*[np.linspace(0, 255, 25)] * 3, indexing="ij"), axis=-1).reshape(
        -1, 3
    )
    lab = ((lab - (0, 128, 128)) / (2.55, 1, 1)).astype(np.float32)
    back = np.clip((lab_to_rgb_cie(lab[:, 0], lab[:, 1:]) - 0.12) / 0.83, 0, 1)
    inks = np.concatenate((1 - back, np.zeros((len(back), 1))), axis=1) * 255
    text = b"four inks"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + b"\0" * 80,
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061),
        b"A2B0": lut((4, 3), 9, np.clip(np.rint(to_lab), 0, 255)),
        b"B2A0": lut((3, 4), 25, np.rint(inks)),
    }
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        body += b"\0" * (-len(body) % 4)
        table += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(content))
        body += content
    head = struct.pack(">I4sI", 128 + len(table) + len(body), b"none", 0x02100000)
    head += b"prtrCMYKLab " + b"\0" * 12 + b"acsp" + b"\0" * 28
    head += struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + body


CMYK = cmyk_profile()


def lab_of(data: bytes) -> np.ndarray:
    """Return Lab as a color-managed viewer sees a file: by its own profile."""
    with Image.open(io.BytesIO(data)) as image:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info.get("icc_profile", SRGB)))
        lab = ImageCms.profileToProfile(
            image, profile, ImageCms.createProfile("LAB"), outputMode="LAB"
        )
        levels = np.asarray(lab).astype(float)
    levels[..., 1:] = np.where(levels[..., 1:] > 127, levels[..., 1:] - 256, levels[..., 1:])
    return levels / (2.55, 1, 1)


def picture_with(profile: bytes, mode: str, image_format: str) -> bytes:
    """Return a picture of gentle colors: those that sRGB has, whatever the profile."""
    muted = (draw(64, 48).astype(float) * 0.3 + 90).astype(np.uint8)
    buffer = io.BytesIO()
    options = {"quality": 98, "subsampling": 0} if image_format == "JPEG" else {}
    Image.fromarray(muted).convert(mode).save(buffer, image_format, icc_profile=profile, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("source_profile", [False, True])
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("name", list(WIDE))
def test_a_picture_looks_the_same_in_a_viewer(name, image_format, source_profile):
    data = picture_with(WIDE[name], "RGB", image_format)
    image = decode(data)
    assert image.warnings == ()
    result = encode(image, image.rgb, ImageEncoding(source_profile=source_profile))
    assert np.abs(lab_of(result) - lab_of(data)).mean() < (1.5 if image_format == "WEBP" else 0.7)
    with Image.open(io.BytesIO(result)) as opened:
        assert opened.info["icc_profile"] == (WIDE[name] if source_profile else SRGB)


@pytest.mark.parametrize("source_profile", [False, True])
@pytest.mark.parametrize(
    ("profile", "mode", "image_format"),
    [
        (WIDE["Adobe RGB"], "RGB", "PNG"),
        (WIDE["ProPhoto"], "RGB", "TIFF"),
        (GRAY_22, "L", "JPEG"),
        (GRAY_22, "L", "PNG"),
        (CMYK, "CMYK", "JPEG"),
        (CMYK, "CMYK", "TIFF"),
    ],
)
def test_the_lightness_of_a_recolored_picture_is_that_of_its_profile(
    manifest, profile, mode, image_format, source_profile
):
    data = picture_with(profile, mode, image_format)
    image = decode(data)
    rgb = Recolorizer(SpyNetwork(manifest, (12.0, 8.0))).recolor(image.rgb)
    result = encode(image, rgb, ImageEncoding(source_profile=source_profile))
    difference = np.abs(lab_of(result)[..., 0] - lab_of(data)[..., 0])
    assert difference.mean() < (1.5 if mode == "CMYK" else 0.6)
    with Image.open(io.BytesIO(result)) as opened:
        keeps = source_profile and mode != "L"  # gray holds no color
        assert opened.info["icc_profile"] == (profile if keeps else SRGB)
        assert opened.mode == (mode if keeps else "RGB")


@pytest.mark.parametrize("name", list(WIDE))
def test_16_bits_are_converted_with_all_of_them(name):
    axis = np.linspace(26_000, 36_000, 64).astype(np.uint16)
    deep = np.dstack(np.broadcast_arrays(axis[:, None], axis[None], np.uint16(30_000)))
    rgb = to_srgb(np.ascontiguousarray(deep), WIDE[name], Space.RGB)
    assert rgb.dtype == np.uint16
    back = from_srgb(rgb, WIDE[name], Space.RGB)
    assert np.abs(back.astype(int) - deep).max() < 120  # 8 bits would err by up to 128
    assert np.abs(back.astype(int) - deep).mean() < 12


def test_colors_that_srgb_lacks_keep_their_lightness_and_hue():
    green = np.full((4, 4, 3), (20, 255, 40), np.uint8)
    rgb = to_srgb(green, WIDE["Adobe RGB"], Space.RGB)
    lab = rgb_to_lab_cie(rgb.astype(np.float32) / 255)[0, 0]
    buffer = io.BytesIO()
    Image.fromarray(green).save(buffer, "PNG", icc_profile=WIDE["Adobe RGB"])
    seen = lab_of(buffer.getvalue())[0, 0]
    assert abs(lab[0] - seen[0]) < 1.5
    plain = ImageCms.profileToProfile(
        Image.fromarray(green),
        ImageCms.ImageCmsProfile(io.BytesIO(WIDE["Adobe RGB"])),
        ImageCms.createProfile("sRGB"),
    )
    clipped = rgb_to_lab_cie(np.asarray(plain).astype(np.float32) / 255)[0, 0]
    assert abs(clipped[0] - seen[0]) > 2.5  # what cutting off each channel would make of it


def test_srgb_by_any_name_is_srgb_and_others_are_not():
    assert is_srgb(SRGB)
    assert not any(is_srgb(profile) for profile in WIDE.values())
    renamed = SRGB.replace("sRGB".encode("utf-16-be"), "wide".encode("utf-16-be"))
    assert renamed != SRGB
    assert is_srgb(renamed)
    assert [space_of(p) for p in (SRGB, GRAY_22, CMYK, b"")] == [
        Space.RGB, Space.GRAY, Space.CMYK, None,
    ]  # fmt: skip


@pytest.mark.parametrize("profile", [b"x" * 200, SRGB[:200], WIDE["Adobe RGB"][:300]])
def test_a_broken_profile_is_an_error_here(profile):
    with pytest.raises(InputError, match="broken"):
        to_srgb(draw(), profile, Space.RGB)


def test_an_srgb_profile_on_a_gray_picture_is_honoured():
    buffer = io.BytesIO()
    Image.fromarray(draw()[..., 0]).save(buffer, "JPEG", icc_profile=SRGB)
    image = decode(buffer.getvalue())
    assert image.warnings == ()
    assert image.metadata.icc_profile == SRGB


def test_four_inks_fit_in_jpeg_and_tiff_only():
    (image,) = decode_pages(picture_with(CMYK, "CMYK", "TIFF"), ImageFormat.PNG)
    with pytest.raises(OutputError, match="CMYK"):
        encode(image, image.rgb, ImageEncoding(ImageFormat.PNG, source_profile=True))


def test_a_profile_of_one_direction_cannot_be_written_with():
    one_way = CMYK.replace(b"B2A0", b"Z2Z0")
    image = decode(picture_with(one_way, "CMYK", "TIFF"))
    with pytest.raises(OutputError, match="cannot be written with") as caught:
        encode(image, image.rgb, ImageEncoding(source_profile=True))
    assert "--icc" in caught.value.hint


@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_all_frames_of_an_animation_are_written_in_the_profile_of_the_source(image_format):
    frames = [
        Image.fromarray((draw(48, 40, seed).astype(float) * 0.3 + 90).astype(np.uint8))
        for seed in range(3)
    ]
    buffer = io.BytesIO()
    options = {"lossless": True} if image_format == "WEBP" else {}
    frames[0].save(
        buffer, image_format, save_all=True, append_images=frames[1:], duration=50,
        icc_profile=WIDE["ProPhoto"], **options,
    )  # fmt: skip
    found = list(decode_pages(buffer.getvalue()))
    assert all(np.abs(f.rgb.astype(int) - g).mean() > 5 for f, g in zip(found, frames, strict=True))
    data = encode_all(((f, f.rgb) for f in found), ImageEncoding(quality=100, source_profile=True))
    again = list(decode_pages(data))
    for before, after in zip(found, again, strict=True):
        assert np.abs(before.rgb.astype(int) - after.rgb).mean() < 2
