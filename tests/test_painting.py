from dataclasses import replace

import numpy as np
import pytest

from recolor_cli.color.lab import XYZ_TO_LINEAR_RGB, lab_to_rgb_cie, rgb_to_lab_cie
from recolor_cli.color.letterbox import Letterbox
from recolor_cli.color.painting import paint
from recolor_cli.types import ImageSize


def every_gray_and_many_colors(ab_range):
    """Return a picture of all kinds of colors, and ab for it that changes from place to place."""
    random = np.random.default_rng(0)
    rgb = random.integers(0, 256, (256, 300, 3), dtype=np.uint8)
    rgb[:, :100] = np.arange(256, dtype=np.uint8)[:, None, None]  # grays, each with 100 colors
    ab = random.uniform(-ab_range, ab_range, (64, 64, 2)).astype(np.float32)
    return rgb, Letterbox.fit(ImageSize(256, 300), 256).upsample(ab)


def exactly(rgb, enlarged):
    """Return L*, ab, and whether sRGB reaches the color, by the closed formula."""
    lightness = rgb_to_lab_cie(rgb / np.float32(np.iinfo(rgb.dtype).max))[..., 0]
    ab = np.ascontiguousarray(np.moveaxis(enlarged.rows(0, len(rgb)), 0, -1))
    y = (lightness + 16) / 116
    f = np.stack((y + ab[..., 0] / 500, y, y - ab[..., 1] / 200), axis=-1)
    xyz = np.where(f > 6 / 29, f**3, (f - 4 / 29) * 3 * (6 / 29) ** 2)
    light = xyz @ XYZ_TO_LINEAR_RGB.T
    return lightness, ab, ((light >= 0) & (light <= 1)).all(axis=-1)


@pytest.mark.parametrize("ab_range", [0, 12, 90])
def test_tables_paint_what_the_closed_formula_does_to_a_level(ab_range):
    rgb, enlarged = every_gray_and_many_colors(ab_range)
    lightness, ab, inside = exactly(rgb, enlarged)
    assert inside.mean() > 0.1
    out = np.empty_like(rgb)
    paint(rgb, enlarged, out)
    difference = np.abs(out[inside] - np.rint(255 * lab_to_rgb_cie(lightness, ab)[inside]))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.06


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_where_srgb_has_no_such_color_chroma_gives_way(dtype):
    rgb, enlarged = every_gray_and_many_colors(90)
    rgb = rgb.astype(dtype) * (np.iinfo(dtype).max // 255)
    lightness, ab, inside = exactly(rgb, enlarged)
    out = np.empty_like(rgb)
    paint(rgb, enlarged, out)
    new = rgb_to_lab_cie(out / np.float32(np.iinfo(dtype).max))
    far = ~inside & (lightness > 5) & (lightness < 98)
    assert far.sum() > 10_000
    # A byte is up to 0.28 of L*; the table of the largest chroma has gaps at few hues.
    assert np.percentile(np.abs(new[..., 0] - lightness)[far], 99.5) < 0.5
    chroma, wanted = np.hypot(new[..., 1], new[..., 2]), np.hypot(ab[..., 0], ab[..., 1])
    assert (chroma <= wanted + 3)[far].mean() > 0.995
    turn = np.angle((new[..., 1] + 1j * new[..., 2]) * (ab[..., 0] - 1j * ab[..., 1]))
    strong = far & (chroma > 20)
    assert np.percentile(np.abs(turn[strong]), 99) < np.deg2rad(4)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_in_place_and_into_a_part_of_an_array(dtype):
    rgb, enlarged = every_gray_and_many_colors(60)
    rgb = rgb.astype(dtype)
    expected = np.empty_like(rgb)
    paint(rgb, enlarged, expected)
    part = np.zeros((256, 310, 4), dtype)[:, 5:305, :3]
    part[:] = rgb
    for out in (rgb, part):
        paint(out, enlarged, out)
        np.testing.assert_array_equal(out, expected)


def test_gray_stays_gray():
    rgb = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2).repeat(9, axis=1)
    enlarged = Letterbox.fit(ImageSize(256, 9), 64).upsample(np.zeros((16, 16, 2), np.float32))
    out = np.empty_like(rgb)
    paint(rgb, enlarged, out)
    np.testing.assert_array_equal(out, rgb)


@pytest.mark.parametrize("factor", [3, 5, 1000])
def test_color_beyond_all_colors_keeps_its_hue_and_nothing_overflows(factor):
    rgb, enlarged = every_gray_and_many_colors(60)
    strong = replace(enlarged, wide=enlarged.wide * 2.4)  # up to 180: outside, and not cut
    wild = replace(enlarged, wide=enlarged.wide * factor)
    out, wildly = np.empty_like(rgb), np.empty_like(rgb)
    paint(rgb, strong, out)
    paint(rgb, wild, wildly)
    _, ab, _ = exactly(rgb, strong)
    far = np.hypot(ab[..., 0], ab[..., 1]) > 135  # no color of sRGB is: both end at its edge
    assert far.sum() > 1000
    assert np.percentile(np.abs(out.astype(int) - wildly)[far], 99.9) <= 1


def test_without_color_hardly_a_pixel_is_off_gray():
    rgb, enlarged = every_gray_and_many_colors(0)
    out = np.empty_like(rgb)
    paint(rgb, enlarged, out)
    spread = np.ptp(out.astype(int), axis=2)
    assert spread.max() <= 1
    assert spread.mean() < 0.06
