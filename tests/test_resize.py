import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recolor_cli.color.resize import check_same_aspect, shrink_to_side, shrunk_size
from recolor_cli.errors import InputError
from recolor_cli.types import ImageSize

sides = st.integers(1, 5000)


@given(sides, sides, st.integers(8, 600))
def test_a_picture_is_never_enlarged_and_keeps_its_shape(height, width, longest):
    size = shrunk_size(ImageSize(height, width), longest)
    assert max(size.height, size.width) == min(longest, max(height, width))
    scale = min(1, longest / max(height, width))
    assert size.height == pytest.approx(max(1, height * scale), abs=0.51)
    assert size.width == pytest.approx(max(1, width * scale), abs=0.51)


def test_the_shortest_side_has_a_limit():
    assert shrunk_size(ImageSize(1000, 10), 100, shortest=8) == ImageSize(100, 8)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_shrinking_averages_and_returns_a_new_array(dtype):
    rgb = np.zeros((4, 8, 3), dtype)
    rgb[:, 1::2] = 200
    np.testing.assert_array_equal(shrink_to_side(rgb, 4), np.full((2, 4, 3), 100, dtype))
    same = shrink_to_side(rgb, 8)
    np.testing.assert_array_equal(same, rgb)
    assert not np.shares_memory(same, rgb)


def test_an_overlay_may_have_another_size_but_not_another_shape():
    picture = ImageSize(300, 200)
    check_same_aspect("the mask", ImageSize(150, 100), picture)
    check_same_aspect("the mask", ImageSize(30, 20), picture)
    check_same_aspect("the mask", ImageSize(303, 200), picture)
    with pytest.raises(InputError, match=r"the mask, 200x310, has another shape .* 200x300"):
        check_same_aspect("the mask", ImageSize(310, 200), picture)
