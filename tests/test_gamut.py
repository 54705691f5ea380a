import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recolor_cli.color.gamut import GRID_STEP, LEFT_OUT, AbBins, clip_chroma, derive_srgb_cells
from recolor_cli.color.lab import lab_to_rgb_cv2, rgb_to_lab_cv2, rgb_to_lightness


def test_there_are_394_bins_in_the_published_order():
    bins = AbBins.srgb()
    assert len(bins) == 394
    rows = bins.centers.astype(int).tolist()
    assert rows == sorted(rows)  # a-major, then b
    assert len(set(map(tuple, rows))) == 394
    assert (bins.centers.min(axis=0) == (-88, -104)).all()
    assert (bins.centers.max(axis=0) == (96, 96)).all()
    assert [0, 0] in rows


@pytest.mark.slow
def test_the_bins_are_what_srgb_reaches():
    cells = derive_srgb_cells()
    assert len(cells) == 395
    assert cells - {LEFT_OUT} == set(map(tuple, AbBins.srgb().centers.astype(int).tolist()))


def test_index_of_a_centre_is_its_own_and_cells_are_half_open():
    bins = AbBins.srgb()
    np.testing.assert_array_equal(bins.index_of(bins.centers), np.arange(394))
    below, at = bins.index_of(np.array([[-4.001, 0], [-4.0, 0]], np.float32))
    assert (bins.centers[below] == (-8, 0)).all()
    assert (bins.centers[at] == (0, 0)).all()


@given(st.floats(-300, 300, width=32), st.floats(-300, 300, width=32))
def test_any_color_has_a_bin_near_the_nearest(a, b):
    bins = AbBins.srgb()
    ab = np.array([a, b], np.float32)
    distance = np.linalg.norm(bins.centers - ab, axis=1)
    assert distance[bins.index_of(ab)] <= distance.min() + GRID_STEP * 2**0.5 + (
        0 if max(abs(a), abs(b)) < 128 else np.inf
    )


def test_bins_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(Q, 2\)"):
        AbBins(np.zeros((3, 3), np.float32))


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
