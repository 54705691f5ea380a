import numpy as np
import pytest

from conftest import draw
from recolor_cli.color.lab import lab_to_rgb_cv2, rgb_to_lab_cie, rgb_to_lab_cv2, rgb_to_lightness

LAB_ATOL = 0.5  # OpenCV's tables differ by so much from the closed formula


# CIELAB (D65, 2 degrees) of sRGB colors, from the formulas of CIE 15:2004 and IEC 61966-2-1.
@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((0, 0, 0), (0, 0, 0)),
        ((255, 255, 255), (100, 0, 0)),
        ((128, 128, 128), (53.585, 0, 0)),
        ((255, 0, 0), (53.241, 80.092, 67.203)),
        ((0, 255, 0), (87.735, -86.183, 83.179)),
        ((0, 0, 255), (32.297, 79.188, -107.860)),
        ((255, 255, 0), (97.139, -21.554, 94.478)),
        ((12, 100, 200), (43.301, 15.367, -58.387)),
        ((200, 150, 120), (66.098, 14.850, 23.133)),
    ],
)
def test_known_colors(rgb, lab):
    pixel = np.array(rgb, np.uint8).reshape(1, 1, 3)
    np.testing.assert_allclose(rgb_to_lab_cv2(pixel)[0, 0], lab, atol=LAB_ATOL)


def test_there_and_back_is_the_same_picture():
    rgb = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    lab = rgb_to_lab_cv2(rgb)
    back = lab_to_rgb_cv2(np.ascontiguousarray(lab[..., 0]), lab[..., 1:])
    assert back.dtype == np.uint8
    assert np.abs(back.astype(int) - rgb).max() <= 1
    assert (back == rgb).mean() > 0.98


def test_bytes_and_floats_agree():
    rgb = draw()
    np.testing.assert_allclose(
        rgb_to_lab_cv2(rgb), rgb_to_lab_cv2(rgb.astype(np.float32) / 255), atol=1e-3
    )


def test_lightness_is_the_first_channel_of_the_closed_formula_and_nearly_that_of_opencv():
    random = np.random.default_rng(0)
    rgb = random.integers(0, 256, (256, 200, 3), dtype=np.uint8)
    rgb[:, :100] = np.arange(256, dtype=np.uint8)[:, None, None]
    floats = (rgb / 255).astype(np.float32)
    lightness = rgb_to_lightness(rgb)
    assert lightness.dtype == np.float32
    np.testing.assert_allclose(lightness, rgb_to_lab_cie(floats)[..., 0], atol=0.02)
    np.testing.assert_allclose(lightness, rgb_to_lab_cv2(rgb)[..., 0], atol=0.2)
    np.testing.assert_allclose(rgb_to_lightness(floats), lightness, atol=0.02)
    np.testing.assert_allclose(rgb_to_lightness(rgb.astype(np.uint16) * 257), lightness, atol=0.02)
    assert lightness.min() == 0
    assert lightness.max() == 100


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (1, 4, 4, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"\(H, W, 3\)"):
        rgb_to_lab_cv2(np.zeros(shape, np.uint8))


def test_gray_has_the_light_that_its_color_would_have():
    random = np.random.default_rng(0)
    gray = np.repeat(random.integers(0, 256, (40, 30, 1), dtype=np.uint8), 3, axis=2)
    nearly = gray.copy()
    nearly[20, 10, 2] ^= 1
    same = (gray == nearly).all(axis=2)
    np.testing.assert_array_equal(rgb_to_lightness(gray)[same], rgb_to_lightness(nearly)[same])
    assert rgb_to_lightness(gray)[20, 10] != rgb_to_lightness(nearly)[20, 10]
