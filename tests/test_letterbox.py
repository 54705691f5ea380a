import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recolor_cli.color.letterbox import Letterbox
from recolor_cli.types import ImageSize

sides = st.integers(1, 4000)
targets = st.sampled_from([32, 64, 96, 256])


@given(sides, sides, targets)
def test_fits_centred_with_its_aspect_ratio(height, width, size):
    box = Letterbox.fit(ImageSize(height, width), size)
    assert max(box.inner.height, box.inner.width) == size
    assert abs((size - box.inner.height) - 2 * box.top) <= 1
    assert abs((size - box.inner.width) - 2 * box.left) <= 1
    scale = size / max(height, width)
    assert abs(box.inner.height - height * scale) <= 1
    assert abs(box.inner.width - width * scale) <= 1


@given(sides, sides)
def test_a_canvas_of_multiples_holds_the_picture_with_little_around_it(height, width):
    box = Letterbox.fit(ImageSize(height, width), 64, multiple=16)
    square = Letterbox.fit(ImageSize(height, width), 64)
    assert box.inner == square.inner
    for canvas, inner, before in (
        (box.canvas.height, box.inner.height, box.top),
        (box.canvas.width, box.inner.width, box.left),
    ):
        assert canvas % 16 == 0
        assert canvas == 64 or 4 <= canvas - inner < 20
        assert abs((canvas - inner) - 2 * before) <= 1
    assert square.canvas == ImageSize(64, 64)


@given(sides, sides, st.sampled_from([1, 4]))
def test_invert_has_the_source_size_and_none_of_the_padding(height, width, stride):
    # A picture thinner than a coarse pixel takes the one that it lies in, padding and all.
    box = Letterbox.fit(ImageSize(height, min(width, 600)), 64)
    centre = (np.arange(64 // stride) + 0.5) * stride
    rows = (centre >= box.top) & (centre <= box.top + box.inner.height)
    columns = (centre >= box.left) & (centre <= box.left + box.inner.width)
    planes = np.full((64 // stride, 64 // stride, 2), 1000, np.float32)
    planes[np.ix_(rows, columns)] = 7
    result = box.upsample(planes).rows(0, min(height, 20))
    assert result.shape == (2, min(height, 20), min(width, 600))
    assert result.dtype == np.float32
    if rows.any() and columns.any():
        np.testing.assert_allclose(result, 7, rtol=1e-5)


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("multiple", [None, 16])
@pytest.mark.parametrize("size", [ImageSize(300, 200), ImageSize(120, 400), ImageSize(40, 31)])
def test_invert_puts_each_color_where_it_was(size, multiple, stride):
    # The planes hold their own coordinates, in pixels of the canvas.
    box = Letterbox.fit(size, 64, multiple)
    axes = [
        (np.arange(side // stride) + 0.5) * stride for side in (box.canvas.height, box.canvas.width)
    ]
    planes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).astype(np.float32)
    result = box.invert(planes)
    y = box.top + (np.arange(size.height) + 0.5) * box.inner.height / size.height
    x = box.left + (np.arange(size.width) + 0.5) * box.inner.width / size.width
    # Beyond the outermost coarse centre the value is repeated, so the rim is left out.
    rim = 2 * stride
    rows = (y > box.top + rim) & (y < box.top + box.inner.height - rim)
    columns = (x > box.left + rim) & (x < box.left + box.inner.width - rim)
    assert rows.any()
    assert columns.any()
    np.testing.assert_allclose(result[rows][:, 0, 0], y[rows], atol=1e-3)
    np.testing.assert_allclose(result[0, columns, 1], x[columns], atol=1e-3)


def test_strips_make_up_the_whole():
    box = Letterbox.fit(ImageSize(101, 67), 64)
    planes = np.random.default_rng(0).normal(size=(16, 16, 2)).astype(np.float32)
    enlarged = box.upsample(planes)
    strips = [enlarged.rows(top, min(top + 7, 101)) for top in range(0, 101, 7)]
    whole = np.moveaxis(box.invert(planes), -1, 0)
    np.testing.assert_allclose(np.concatenate(strips, axis=1), whole, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 3, 5, 7])
def test_strips_may_begin_in_the_middle_of_a_coarse_row(rows):
    # An odd number of rows to each coarse one: every fifth lies in the very middle of one.
    planes = np.random.default_rng(0).normal(0, 30, (64, 64, 2)).astype(np.float32)
    enlarged = Letterbox.fit(ImageSize(320, 40), 256).upsample(planes)
    strips = [enlarged.rows(top, min(top + rows, 320)) for top in range(0, 320, rows)]
    assert np.abs(np.concatenate(strips, axis=1) - enlarged.rows(0, 320)).max() < 1e-3


def test_an_edge_is_sharper_than_bilinear_and_hardly_rings():
    box = Letterbox.fit(ImageSize(256, 256), 64)
    planes = np.zeros((16, 16, 1), np.float32)
    planes[:, 8:] = 60
    row = box.invert(planes)[128, :, 0]
    assert -5 < row.min() < 0 < 60 < row.max() < 65
    bilinear = np.interp((np.arange(256) + 0.5) / 16 - 0.5, np.arange(16), planes[0, :, 0])
    assert np.diff(row).max() > 1.2 * np.diff(bilinear).max()


def test_apply_pads_and_leaves_its_input_alone():
    box = Letterbox.fit(ImageSize(30, 60), 64)
    plane = np.ones((box.inner.height, box.inner.width), np.float32)
    canvas = box.apply(plane, fill=50)
    assert canvas.shape == (64, 64)
    assert (canvas == 1).sum() == plane.size
    assert set(np.unique(canvas)) == {1, 50}
    assert (plane == 1).all()


def test_a_size_without_pixels_is_refused():
    with pytest.raises(ValueError, match="at least one pixel"):
        ImageSize(0, 5)
