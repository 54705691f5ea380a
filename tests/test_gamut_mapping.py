import numpy as np

from recolor_cli.color.gamut_mapping import clip_chroma
from recolor_cli.color.lab import lab_to_rgb_cv2, rgb_to_lab_cv2, rgb_to_lightness


def test_clip_chroma_keeps_lightness_and_hue_of_any_color():
    random = np.random.default_rng(0)
    lightness = random.uniform(0, 100, (200, 200)).astype(np.float32)
    ab = random.uniform(-150, 150, (200, 200, 2)).astype(np.float32)
    clipped = clip_chroma(lightness, ab)
    rgb = lab_to_rgb_cv2(lightness, clipped)
    difference = np.abs(rgb_to_lightness(rgb) - lightness)
    assert difference.mean() < 0.15  # half a level of rounding is 0.1 in the middle
    assert difference.max() < 1
    cross = ab[..., 0] * clipped[..., 1] - ab[..., 1] * clipped[..., 0]
    assert np.abs(cross).max() < 1e-2 * np.square(ab).max() ** 0.5  # the same direction
    assert (np.linalg.norm(clipped, axis=-1) <= np.linalg.norm(ab, axis=-1) + 1e-4).all()
    # Without it the lightness is lost: the test above can fail.
    lost = np.abs(rgb_to_lightness(lab_to_rgb_cv2(lightness, ab)) - lightness)
    assert lost.mean() > 3


def test_clip_chroma_leaves_what_srgb_can_show():
    rgb = np.random.default_rng(1).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    lab = rgb_to_lab_cv2(rgb)
    change = np.abs(clip_chroma(np.ascontiguousarray(lab[..., 0]), lab[..., 1:]) - lab[..., 1:])
    assert change.mean() < 0.02
    assert np.percentile(change, 99) < 0.5


def test_a_picture_may_be_wider_than_opencv_remaps():
    lightness = np.full((2, 70_001), 50, np.float32)
    ab = np.full((2, 70_001, 2), 90, np.float32)
    clipped = clip_chroma(lightness, ab)
    assert clipped.shape == ab.shape
    np.testing.assert_allclose(clipped, np.broadcast_to(clipped[0, 0], ab.shape), rtol=1e-5)
    assert np.linalg.norm(clipped[0, 0]) < 100


def test_black_and_white_have_no_color():
    ab = np.full((1, 2, 2), 60, np.float32)
    lightness = np.array([[0, 100]], np.float32)
    rgb = lab_to_rgb_cv2(lightness, clip_chroma(lightness, ab))
    np.testing.assert_array_equal(rgb[0], [[0, 0, 0], [255, 255, 255]])
