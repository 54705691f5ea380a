"""Color that a PNG tells in numbers, against the formulas that the numbers stand for."""

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image
from test_formats import chunk

from conftest import SpyNetwork, draw, encoded
from recolor_cli.color.lab import rgb_to_lab_cv2
from recolor_cli.errors import InputError
from recolor_cli.image.decode import decode_pages
from recolor_cli.image.encode import ImageEncoding, encode
from recolor_cli.image.formats import ImageFormat
from recolor_cli.recolorizer import Recolorizer

SRGB_CORNERS = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
ADOBE_CORNERS = (31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
# Linear light of D65 primaries to that of sRGB: computed from their chromaticities.
P3_TO_SRGB = [
    [1.2249402, -0.2249402, 0.0],
    [-0.0420570, 1.0420570, 0.0],
    [-0.0196376, -0.0786361, 1.0982736],
]
ADOBE_TO_SRGB = [[1.3983557, -0.3983557, 0.0], [0.0, 1.0, 0.0], [0.0, -0.0429290, 1.0429290]]
SAME = np.eye(3)


def with_chunks(data: bytes, **chunks: bytes) -> bytes:
    """Put chunks behind a PNG's header."""
    middle = b"".join(chunk(name.encode(), content) for name, content in chunks.items())
    return data[:33] + middle + data[33:]


def gama(level: int) -> bytes:
    return struct.pack(">I", level)


def chrm(corners: tuple[int, ...]) -> bytes:
    return struct.pack(">8I", *corners)


def srgb_light(level):
    return np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)


def srgb_level(light):
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def video_light(level):
    return np.where(level < 0.081, level / 4.5, ((level + 0.099) / 1.099) ** (1 / 0.45))


def muted(depth: type = np.uint8) -> np.ndarray:
    """Return colors that every space here has."""
    top = np.iinfo(depth).max
    return np.rint((0.4 + 0.2 * draw(40, 50) / 255) * top).astype(depth)


def png(pixels: np.ndarray) -> bytes:
    """Encode by OpenCV, which adds no chunks about color."""
    ok, data = cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    assert ok
    return data.tobytes()


CASES = {
    "linear": ({"gAMA": gama(100000)}, lambda v: v, SAME),
    "1.8": ({"gAMA": gama(55556)}, lambda v: v**1.8, SAME),
    "Adobe RGB": ({"gAMA": gama(45470), "cHRM": chrm(ADOBE_CORNERS)}, srgb_light, ADOBE_TO_SRGB),
    "corners alone": ({"cHRM": chrm(ADOBE_CORNERS)}, srgb_light, ADOBE_TO_SRGB),
    "Display P3": ({"cICP": bytes([12, 13, 0, 1])}, srgb_light, P3_TO_SRGB),
    "BT.709": ({"cICP": bytes([1, 1, 0, 1])}, video_light, SAME),
    "linear BT.709": ({"cICP": bytes([1, 8, 0, 1])}, lambda v: v, SAME),
}


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("name", list(CASES))
def test_numbers_are_what_they_stand_for(name, depth):
    chunks, light, matrix = CASES[name]
    pixels = muted(depth)
    top = np.iinfo(depth).max
    picture = next(decode_pages(with_chunks(png(pixels), **chunks)))
    expected = srgb_level(light(pixels / top) @ np.transpose(matrix))
    assert picture.warnings == ()
    assert np.abs(picture.rgb / top - expected).max() < 1.6 / 255
    assert np.abs(picture.rgb.astype(int) - pixels).max() > 4 * top / 255  # it is no sRGB


@pytest.mark.parametrize(
    "chunks",
    [
        {"sRGB": b"\0"},
        {"gAMA": gama(45455)},
        {"gAMA": gama(45455), "cHRM": chrm(SRGB_CORNERS)},
        {"sRGB": b"\0", "gAMA": gama(100000)},  # which of them counts is told by the order
        {"cICP": bytes([1, 13, 0, 1]), "gAMA": gama(100000)},
        {"cICP": bytes([2, 2, 0, 1])},
    ],
)
def test_srgb_by_any_numbers_is_left_alone(chunks):
    picture = next(decode_pages(with_chunks(png(muted()), **chunks)))
    assert np.array_equal(picture.rgb, muted())
    assert picture.warnings == ()
    assert picture.profile == b""


@pytest.mark.parametrize(
    ("chunks", "told"),
    [
        ({"cICP": bytes([12, 9, 0, 1])}, "cICP 12-9-0-1"),
        ({"cICP": bytes([1, 13, 0, 0])}, "cICP 1-13-0-0"),  # of narrow range
        ({"cICP": bytes([77, 13, 0, 1])}, "cICP 77"),
        ({"gAMA": gama(0)}, "gAMA"),
        ({"gAMA": gama(1)}, "gAMA"),
        ({"gAMA": gama(55556), "cHRM": chrm((0,) * 8)}, "makes no sense"),
        ({"cHRM": chrm((31270, 32900) * 4)}, "makes no sense"),
        ({"cHRM": chrm((2**32 - 1,) * 8)}, "makes no sense"),
    ],
)
def test_what_is_not_understood_is_told_and_read_as_srgb(chunks, told):
    picture = next(decode_pages(with_chunks(png(muted()), **chunks)))
    assert np.array_equal(picture.rgb, muted())
    assert told in " ".join(picture.warnings)


@pytest.mark.parametrize(("curve", "name"), [(16, "PQ"), (18, "HLG")])
def test_high_dynamic_range_is_an_error_that_says_so(curve, name):
    with pytest.raises(InputError, match=f"high dynamic range .{name}"):
        next(decode_pages(with_chunks(png(muted()), cICP=bytes([9, curve, 0, 1]))))


def test_a_profile_comes_before_gamma_and_behind_cicp():
    from test_color_profiles import WIDE

    adobe = encoded(muted(), "PNG", icc_profile=WIDE["Adobe RGB"])
    alone = next(decode_pages(adobe)).rgb
    p3 = next(decode_pages(with_chunks(png(muted()), cICP=bytes([12, 13, 0, 1])))).rgb
    assert np.array_equal(next(decode_pages(with_chunks(adobe, gAMA=gama(100000)))).rgb, alone)
    both = next(decode_pages(with_chunks(adobe, cICP=bytes([12, 13, 0, 1])))).rgb
    assert np.array_equal(both, p3)
    # For who cannot show high dynamic range the profile is what the file offers instead.
    hdr = next(decode_pages(with_chunks(adobe, cICP=bytes([9, 16, 0, 1])))).rgb
    assert np.array_equal(hdr, alone)


def test_gray_is_read_by_its_gamma_too():
    gray = muted()[..., 0]
    picture = next(decode_pages(with_chunks(png(gray), gAMA=gama(100000))))
    assert np.abs(picture.rgb[..., 1] / 255 - srgb_level(gray / 255)).max() < 1.6 / 255


def test_frames_of_an_animation_have_it_too():
    buffer = io.BytesIO()
    first, *rest = (Image.fromarray(muted() // (n + 1)) for n in range(3))
    first.save(buffer, "PNG", save_all=True, append_images=rest, duration=50)
    frames = list(decode_pages(with_chunks(buffer.getvalue(), gAMA=gama(100000))))
    assert len(frames) == 3
    for number, frame in enumerate(frames):
        expected = srgb_level((muted() // (number + 1)) / 255)
        assert np.abs(frame.rgb / 255 - expected).max() < 2.6 / 255


@pytest.mark.parametrize("source_profile", [False, True])
def test_a_recolored_picture_looks_as_light_as_its_source(manifest, source_profile):
    data = with_chunks(png(muted()), cICP=bytes([12, 13, 0, 1]))
    picture = next(decode_pages(data))
    result = Recolorizer(SpyNetwork(manifest, (9, -9))).recolor(picture.rgb)
    written = encode(picture, result, ImageEncoding(ImageFormat.PNG, source_profile=source_profile))
    again = next(decode_pages(written))
    assert bool(again.profile) == source_profile  # as iCCP, which every viewer knows
    lightness = [rgb_to_lab_cv2(rgb)[..., 0] for rgb in (picture.rgb, again.rgb)]
    assert np.abs(lightness[0] - lightness[1]).max() < 1
