import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recolor_cli.color.ab_bins import GRID_STEP, AbBins, cells_of
from recolor_cli.color.lab import rgb_to_lab_cv2

BINS = AbBins.srgb()
# About 300 of 16.7 million sRGB colors lie in this cell; the published table lacks it.
UNPUBLISHED_CELL = (-88, 72)


def derive_srgb_cells() -> set[tuple[int, int]]:
    """Round every 8-bit sRGB color to the grid and return the centres of its cells."""
    green, blue = np.meshgrid(np.arange(256), np.arange(256), indexing="ij")
    is_reached = np.zeros((32, 32), bool)  # centres of -128..120
    for red in range(256):
        rgb = np.stack((np.full_like(green, red), green, blue), axis=-1).astype(np.uint8)
        a, b = np.moveaxis(cells_of(rgb_to_lab_cv2(rgb)[..., 1:]) + 16, -1, 0)
        is_reached[a, b] = True
    return set(map(tuple, ((np.argwhere(is_reached) - 16) * GRID_STEP).tolist()))


def test_there_are_394_bins_in_the_published_order():
    assert len(BINS) == 394
    rows = BINS.centers.astype(int).tolist()
    assert rows == sorted(rows)  # a-major, then b
    assert len(set(map(tuple, rows))) == 394
    assert (BINS.centers.min(axis=0) == (-88, -104)).all()
    assert (BINS.centers.max(axis=0) == (96, 96)).all()
    assert [0, 0] in rows


@pytest.mark.slow
def test_the_bins_are_what_srgb_reaches():
    cells = derive_srgb_cells()
    assert len(cells) == 395
    assert cells - {UNPUBLISHED_CELL} == set(map(tuple, BINS.centers.astype(int).tolist()))


def test_index_of_a_centre_is_its_own_and_cells_are_half_open():
    np.testing.assert_array_equal(BINS.index_of(BINS.centers), np.arange(394))
    below, at = BINS.index_of(np.array([[-4.001, 0], [-4.0, 0]], np.float32))
    assert (BINS.centers[below] == (-8, 0)).all()
    assert (BINS.centers[at] == (0, 0)).all()


@given(st.floats(-300, 300, width=32), st.floats(-300, 300, width=32))
def test_any_color_has_a_bin_near_the_nearest(a, b):
    ab = np.array([a, b], np.float32)
    distance = np.linalg.norm(BINS.centers - ab, axis=1)
    assert distance[BINS.index_of(ab)] <= distance.min() + GRID_STEP * 2**0.5 + (
        0 if max(abs(a), abs(b)) < 128 else np.inf
    )


def test_bins_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(Q, 2\)"):
        AbBins(np.zeros((3, 3), np.float32))
