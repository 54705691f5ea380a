import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recolor_cli.color.row_strips import map_row_strips, row_strips


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 100_000))
def test_strips_cover_each_row_once_and_are_small(height, width, strip_pixels):
    strips = row_strips(height, width, strip_pixels)
    rows = [row for strip in strips for row in range(strip.start, strip.stop)]
    assert rows == list(range(height))
    for strip in strips:
        count = strip.stop - strip.start
        assert count == 1 or count * width <= strip_pixels


@pytest.mark.parametrize("strip_pixels", [1, 50, 10_000])
def test_mapping_strips_is_mapping_the_whole(strip_pixels):
    picture = np.random.default_rng(0).integers(0, 100, (13, 7, 3), dtype=np.uint8)
    doubled = map_row_strips(
        lambda rows: picture[rows] * 2, picture.shape, picture.dtype, strip_pixels
    )
    np.testing.assert_array_equal(doubled, picture * 2)
    assert doubled.dtype == np.uint8
