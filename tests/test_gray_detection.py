import io

import cv2
import numpy as np
import pytest
from PIL import Image

from conftest import draw
from recolor_cli.color.gamut_mapping import clip_chroma
from recolor_cli.color.gray_detection import detect_gray
from recolor_cli.color.lab import lab_to_rgb_cv2, rgb_to_gray, rgb_to_lightness


def print_in(lightness, strongest, of_paper=(0.0, 0.0)):
    """Return a toned print: ab that follows lightness."""
    middle = 1 - np.square(lightness / 50 - 1)
    ab = middle[..., None] * np.array(strongest) + (lightness / 100)[..., None] * of_paper
    return lab_to_rgb_cv2(lightness, clip_chroma(lightness, ab.astype(np.float32)))


def as_jpeg(rgb, quality):
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("tone", [(0, 0), (6, 24), (-4, -30), (2, 10)])
def test_prints_are_monochrome_and_colored_pictures_are_not(seed, tone):
    rgb = draw(300, 200, seed)
    toned = as_jpeg(print_in(rgb_to_lightness(rgb), tone, (1, 6)), 60)
    assert detect_gray(toned).is_monochrome
    assert (detect_gray(toned).weights(toned) > 250).mean() > 0.99
    assert not detect_gray(rgb).is_monochrome
    assert not detect_gray(rgb).has_gray_parts
    assert not detect_gray(rgb).weights(rgb).any()


def test_paper_that_yellowed_unevenly_is_no_color():
    lightness = rgb_to_lightness(draw(300, 200))
    y, x = np.mgrid[-1:1:300j, -1:1:200j]
    stains = (8 + 5 * x + 4 * y * y)[..., None] * np.array([0.2, 1.0])
    toned = lab_to_rgb_cv2(lightness, clip_chroma(lightness, stains.astype(np.float32)))
    assert detect_gray(toned).is_monochrome


def test_a_stamp_keeps_its_color_on_a_sepia_print():
    toned = print_in(rgb_to_lightness(draw(300, 200)), (6, 24)).copy()
    toned[250:275, 150:170] = (200, 20, 120)
    seen = detect_gray(toned)
    weights = seen.weights(toned)
    assert seen.is_monochrome
    assert weights[255:270, 155:165].max() == 0
    assert weights[:240].min() > 250


def test_a_print_in_one_loud_color_is_colored():
    lightness = rgb_to_lightness(draw(300, 200))
    ab = np.broadcast_to(np.float32([70, 50]), (*lightness.shape, 2)) * (lightness / 100)[..., None]
    assert not detect_gray(lab_to_rgb_cv2(lightness, clip_chroma(lightness, ab))).is_monochrome


def test_edges_between_gray_and_color_are_smooth():
    rgb = draw(256, 256).copy()
    rgb[:, 128:] = rgb_to_gray(draw(256, 128, 1))
    weights = detect_gray(rgb).weights(rgb)
    assert weights[:, :110].max() == 0
    assert weights[:, 146:].min() == 255
    steps = np.abs(np.diff(weights.astype(int), axis=1))
    assert steps.max() < 80  # a hard edge has one of 255
    assert 0.4 < detect_gray(rgb).gray_share < 0.55


def test_it_looks_the_same_at_any_size_and_depth():
    rgb = draw(600, 400).copy()
    rgb[:, 200:] = rgb_to_gray(draw(600, 200, 1))
    small = cv2.resize(rgb, (200, 300), interpolation=cv2.INTER_AREA)
    shares = [detect_gray(p).gray_share for p in (rgb, small, rgb.astype(np.uint16) * 257)]
    assert max(shares) - min(shares) < 0.02
    deep = detect_gray(rgb).weights(rgb.astype(np.uint16) * 257)
    assert np.abs(deep.astype(int) - detect_gray(rgb).weights(rgb)).max() < 30


@pytest.mark.parametrize("shape", [(8, 8), (8, 900), (2000, 9)])
def test_odd_shapes(shape):
    gray = rgb_to_gray(draw(*shape))
    assert detect_gray(gray).is_monochrome
    assert detect_gray(gray).weights(gray).min() == 255
