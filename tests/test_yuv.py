"""YUV against scikit-image, which has the same definition and other code."""

import numpy as np
import pytest
import torch
from skimage.color import lab2rgb, rgb2lab, rgb2yuv, yuv2rgb

from conftest import draw
from recolor_cli.color.lab import rgb_to_lab_cv2, rgb_to_lightness
from recolor_cli.training.torch_color import lightness_to_gray
from recolor_cli.training.yuv import rgb_to_uv, uv_grid, uv_to_ab


def planes(values):
    """Return (1, C, P, 1) of (P, C)."""
    return torch.tensor(np.asarray(values, np.float32)).T[None, :, :, None]


def ab_of(lightness, uv):
    return uv_to_ab(planes(np.reshape(lightness, (-1, 1))), planes(uv))[0, :, :, 0].T.numpy()


def test_pictures_to_uv():
    rgb = draw()
    np.testing.assert_allclose(rgb_to_uv(rgb), rgb2yuv(rgb)[..., 1:], atol=1e-3)


def test_the_luma_of_a_gray_is_its_level():
    levels = np.arange(256)
    gray = np.repeat(levels, 3).reshape(1, 256, 3).astype(np.uint8)
    luma = lightness_to_gray(torch.from_numpy(rgb_to_lightness(gray)))[0]
    np.testing.assert_allclose(luma, levels / 255, atol=2e-3)  # half a level
    beyond = lightness_to_gray(torch.tensor([-5.0, 105.0]))
    assert beyond.tolist() == pytest.approx([0, 1], abs=1e-6)


def test_a_gray_has_no_ab():
    assert np.abs(ab_of(np.linspace(0, 100, 51), np.zeros((51, 2)))).max() < 1e-3


def test_uv_to_ab_is_what_scikit_image_makes_of_it():
    random = np.random.default_rng(0)
    lightness = random.uniform(0, 100, 5000)
    uv = random.uniform((-0.3, -0.4), (0.3, 0.4), (5000, 2))
    gray = lab2rgb(np.stack((lightness, 0 * lightness, 0 * lightness), axis=-1))
    rgb = yuv2rgb(np.column_stack((gray.mean(axis=-1), uv)))
    shown = ((rgb > 0.002) & (rgb < 0.998)).all(axis=-1)
    assert shown.sum() > 500
    expected = rgb2lab(rgb[shown])[:, 1:]
    np.testing.assert_allclose(ab_of(lightness, uv)[shown], expected, atol=0.3)


def test_what_srgb_cannot_show_lies_on_its_border_in_the_same_direction():
    lightness = np.full(64, 60.0)
    angle = np.linspace(0, 2 * np.pi, 64)
    direction = np.stack((np.cos(angle), np.sin(angle)), axis=-1)
    far, farther = (ab_of(lightness, reach * direction) for reach in (2, 5))
    np.testing.assert_allclose(far, farther, atol=1e-2)
    assert (np.linalg.norm(far, axis=-1) > 20).all()
    assert np.isfinite(ab_of([0, 100], [[0.4, 0.6], [-0.4, 0.6]])).all()


def test_a_picture_comes_back_from_its_uv():
    rgb = draw()
    lab = rgb_to_lab_cv2(rgb).reshape(-1, 3)
    ab = ab_of(lab[:, 0], rgb_to_uv(rgb).reshape(-1, 2))
    distance = np.linalg.norm(ab - lab[:, 1:], axis=-1)
    # Not exactly: the gray's luma is not that of a saturated color.
    assert distance[np.linalg.norm(lab[:, 1:], axis=-1) < 30].mean() < 0.5
    assert distance.mean() < 3  # where colors are as strong as here


def test_the_grid_is_the_papers():
    grid = uv_grid().reshape(10, 10, 2)
    u_edges, v_edges = np.linspace(-0.45, 0.45, 11), np.linspace(-0.65, 0.65, 11)
    np.testing.assert_allclose(grid[:, 0, 0], (u_edges[1:] + u_edges[:-1]) / 2, atol=1e-6)
    np.testing.assert_allclose(grid[0, :, 1], (v_edges[1:] + v_edges[:-1]) / 2, atol=1e-6)
