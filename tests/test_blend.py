import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import SpyNetwork, draw, encoded
from recolor_cli.color.blend import BlendMask
from recolor_cli.color.lab import rgb_to_gray, rgb_to_lab_cv2, rgb_to_lightness
from recolor_cli.errors import InputError
from recolor_cli.guidance.recolor_options import RecolorOptions
from recolor_cli.image.decode import decode_mask
from recolor_cli.recolorizer import Recolorizer


def recolored(manifest, rgb, ab=(12.0, -9.0), **options):
    return Recolorizer(SpyNetwork(manifest, ab), RecolorOptions(**options)).recolor(rgb)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_how_much_of_its_own_color_stays(manifest, dtype):
    rgb = draw(60, 40).astype(dtype) * (257 if dtype is np.uint16 else 1)
    new = recolored(manifest, rgb)
    np.testing.assert_array_equal(recolored(manifest, rgb, keep_original=0), new)
    np.testing.assert_array_equal(recolored(manifest, rgb, keep_original=1), rgb)
    half = recolored(manifest, rgb, keep_original=0.5)
    as_8_bits = [(a // 257).astype(np.uint8) if dtype is np.uint16 else a for a in (rgb, new, half)]
    own_ab, new_ab, half_ab = (rgb_to_lab_cv2(a)[..., 1:] for a in as_8_bits)
    assert np.abs(half_ab - (own_ab + new_ab) / 2).mean() < 0.5
    assert np.abs(rgb_to_lightness(half) - rgb_to_lightness(rgb)).max() < 1


def test_a_mask_says_where(manifest):
    rgb = draw(64, 48)
    mask = np.zeros((64, 48), np.uint8)
    mask[:, 24:] = 255
    mask[32:] //= 2
    result = recolored(manifest, rgb, mask=mask)
    new = recolored(manifest, rgb)
    np.testing.assert_array_equal(result[:, :24], rgb[:, :24])  # bit for bit
    np.testing.assert_array_equal(result[:32, 24:], new[:32, 24:])
    own, partly, all_new = (rgb_to_lab_cv2(a)[32:, 24:, 1:] for a in (rgb, result, new))
    assert np.abs(partly - (own + (all_new - own) * (127 / 255))).mean() < 0.5
    # half as large, it means the same away from its edges
    small = recolored(manifest, rgb, mask=cv2.resize(mask, (24, 32), interpolation=cv2.INTER_AREA))
    np.testing.assert_array_equal(small[:30, 26:], new[:30, 26:])
    np.testing.assert_array_equal(small[:, :22], rgb[:, :22])
    with pytest.raises(InputError, match="40x40, has another shape than the picture, 48x64"):
        recolored(manifest, rgb, mask=np.full((40, 40), 255, np.uint8))


def test_half_a_mask_of_half_the_own_color(manifest):
    rgb = draw(30, 30)
    both = recolored(manifest, rgb, keep_original=0.5, mask=np.full((30, 30), 128, np.uint8))
    alone = recolored(manifest, rgb, keep_original=1 - 0.5 * 128 / 255)
    assert np.abs(both.astype(int) - alone).max() <= 1


@given(st.integers(8, 70), st.integers(8, 70), st.integers(0, 99))
@settings(max_examples=20)
def test_strips_are_no_different_from_the_whole(height, width, seed):
    rgb, painted = draw(height, width, seed), draw(height, width, seed + 1)
    mask = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    blend_mask = BlendMask.for_picture(rgb, mask=mask, keep_original=0.25)
    whole = blend_mask.blend(rgb, painted, 0)
    cut = height // 2
    parts = [
        blend_mask.blend(rgb[:cut], painted[:cut], 0),
        blend_mask.blend(rgb[cut:], painted[cut:], cut),
    ]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


def test_only_gray_parts_are_recolored(manifest):
    rgb = draw(128, 96).copy()  # colored
    rgb[:, 48:] = rgb_to_gray(draw(128, 48, 1))
    result = recolored(manifest, rgb, only_gray=True)
    new = recolored(manifest, rgb)
    np.testing.assert_array_equal(result[:, :40], rgb[:, :40])
    np.testing.assert_array_equal(result[:, 60:], new[:, 60:])


def test_a_colored_picture_is_left_alone_and_a_gray_one_is_not(manifest):
    rgb = draw()
    np.testing.assert_array_equal(recolored(manifest, rgb, only_gray=True), rgb)
    gray = rgb_to_gray(rgb)
    np.testing.assert_array_equal(
        recolored(manifest, gray, only_gray=True), recolored(manifest, gray)
    )


def test_gray_parts_within_a_mask(manifest):
    rgb = rgb_to_gray(draw(64, 64))
    mask = np.zeros((64, 64), np.uint8)
    mask[:32] = 255
    result = recolored(manifest, rgb, only_gray=True, mask=mask)
    np.testing.assert_array_equal(result[32:], rgb[32:])
    assert (result[:32] != rgb[:32]).any()


def test_masks_as_people_paint_them():
    levels = np.zeros((20, 30), np.uint8)
    levels[5:] = 255
    np.testing.assert_array_equal(decode_mask(encoded(levels, "PNG")), levels)
    red_on_nothing = np.zeros((20, 30, 4), np.uint8)
    red_on_nothing[5:] = (255, 255, 255, 128)
    assert set(np.unique(decode_mask(encoded(red_on_nothing, "PNG")))) == {0, 128}
    with pytest.raises(InputError, match="black all over"):
        decode_mask(encoded(np.zeros((9, 9), np.uint8), "PNG"))


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_how_much_stays_is_between_nothing_and_all(value):
    with pytest.raises(ValueError, match="keep_original"):
        RecolorOptions(keep_original=value)
