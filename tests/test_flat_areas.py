"""Flat areas get one color each."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recolor_cli.color.flat_areas import _fit_areas, _grow, unify_flat_areas
from recolor_cli.color.letterbox import Letterbox
from recolor_cli.types import ImageSize

WHOLE = slice(0, 128), slice(0, 128)
RED, BLUE = (50.0, 30.0), (5.0, -40.0)


def canvas(lightness=60.0):
    """L* of 128 x 128 px, of which the right half is too rough to be an area."""
    plane = np.full((128, 128), lightness, np.float32)
    plane[:, 64:] += np.random.default_rng(1).uniform(-40, 40, (128, 64)).astype(np.float32)
    return plane


def colors(*parts):
    """ab of 32 x 32 px in rows: (number of rows, color) for each part, with some noise."""
    rows = [np.broadcast_to(np.float32(color), (count, 32, 2)) for count, color in parts]
    noise = np.random.default_rng(2).normal(0, 2, (32, 32, 2)).astype(np.float32)
    return np.concatenate(rows) + noise


def test_a_ground_in_two_colors_gets_the_one_of_its_larger_part():
    ab = colors((24, RED), (8, BLUE))
    before = ab.copy()
    found = unify_flat_areas(ab, canvas(), WHOLE)
    ground = found[:, :14].reshape(-1, 2)
    assert np.ptp(ground, axis=0).max() < 1e-3
    np.testing.assert_allclose(ground[0], RED, atol=3)  # and not the grayish mean of both
    np.testing.assert_array_equal(found[:, 18:], before[:, 18:])  # rough: as the network has it
    np.testing.assert_array_equal(ab, before)


def test_an_edge_of_lightness_parts_two_areas():
    plane = canvas()
    plane[64:, :64] = 30
    found = unify_flat_areas(colors((16, RED), (16, BLUE)), plane, WHOLE)
    np.testing.assert_allclose(found[:15, :14], np.broadcast_to(RED, (15, 14, 2)), atol=2)
    np.testing.assert_allclose(found[17:, :14], np.broadcast_to(BLUE, (15, 14, 2)), atol=2)


def letters(between, first, second):
    """Two flat blocks of one lightness, parted by a bar of L* `between`."""
    plane = canvas()
    plane[56:72, :64] = between
    found = unify_flat_areas(colors((16, first), (16, second)), plane, WHOLE)
    return found[2, 2], found[-2, 2]


def test_parts_of_like_lightness_and_color_share_one():
    first, second = letters(95.0, RED, (44.0, 34.0))
    assert np.linalg.norm(first - second) < 3  # 7 before


def test_parts_of_other_color_keep_theirs():
    first, second = letters(95.0, RED, BLUE)
    np.testing.assert_allclose(first, RED, atol=2)
    np.testing.assert_allclose(second, BLUE, atol=2)


def test_the_color_of_a_sky_follows_its_lightness():
    lightness = np.repeat(np.linspace(50, 80, 128, dtype=np.float32)[:, None], 128, axis=1)
    rows = np.linspace(0, 1, 32, dtype=np.float32)[:, None, None]
    ab = rows * np.float32((0, 5)) + (1 - rows) * np.float32((0, -35)) + np.zeros((1, 32, 1))
    noisy = ab + np.random.default_rng(3).normal(0, 5, ab.shape)
    found = unify_flat_areas(noisy.astype(np.float32), lightness, WHOLE)
    assert np.abs(found - ab).max() < 5
    assert np.abs(found - ab).mean() < np.abs(noisy - ab).mean() / 2


def test_areas_reach_the_edge_of_the_picture_and_the_padding_is_none():
    box = Letterbox.fit(ImageSize(100, 50), 128)  # 64 px wide, 32 px of padding on both sides
    lightness = box.apply(np.full((128, 64), 52, np.float32), 50.0)  # nearly that of the padding
    ab = colors((32, RED))
    ab[:, :8] = ab[:, 24:] = BLUE
    found = unify_flat_areas(ab, lightness, box.inside)
    assert np.ptp(found[:, 8:24].reshape(-1, 2), axis=0).max() < 1e-3
    np.testing.assert_allclose(found[0, 8], RED, atol=1)


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from([1, 2, 4, 8]),
    st.integers(0, 1000),
)
def test_every_canvas_gets_finite_colors_within_those_of_the_network(size, stride, seed):
    random = np.random.default_rng(seed)
    height, width = size
    box = Letterbox.fit(ImageSize(random.integers(1, 99), random.integers(1, 99)), 8)
    scaled = [
        slice(int(side.start * total / 8), max(1, int(side.stop * total / 8)))
        for side, total in zip(box.inside, (height * stride, width * stride), strict=True)
    ]
    lightness = random.uniform(49, 51, (height * stride, width * stride)).astype(np.float32)
    ab = random.uniform(-60, 60, (height, width, 2)).astype(np.float32)
    found = unify_flat_areas(ab, lightness, tuple(scaled))
    assert found.shape == ab.shape
    assert found.dtype == np.float32
    assert np.abs(found).max() <= 60 + 10  # a slope may lead a little beyond


def test_noise_on_a_ground_does_not_part_it():
    grain = np.random.default_rng(4).normal(0, 1.5, (128, 128)).astype(np.float32)
    found = unify_flat_areas(colors((24, RED), (8, BLUE)), 60 + grain, WHOLE)
    assert np.abs(found - np.float32(RED)).mean() == pytest.approx(0, abs=3)


def test_the_blurred_border_of_an_area_belongs_to_it():
    plane = canvas()
    plane[60:68, 8:56] = 20  # a word of dark letters, whose gaps are ground
    for gap in (16, 28, 40):
        plane[60:68, gap : gap + 6] = 60
    ab = colors((32, RED))
    ab[13:19, 1:15] = BLUE
    found = unify_flat_areas(ab, plane, WHOLE)
    np.testing.assert_allclose(found[12, 2:14], np.broadcast_to(RED, (12, 2)), atol=3)
    gaps = found[15, [4, 7, 10]]
    assert np.linalg.norm(gaps - np.float32(RED), axis=-1).max() < 45  # 83 before


def test_each_area_gets_the_line_of_the_pixels_that_agree():
    random = np.random.default_rng(4)
    of_pixels = random.integers(1, 6, (30, 30))
    labels = np.kron(of_pixels, np.ones((2, 2), int))
    labels[::6, ::4] = 0  # pixels on an edge have no say
    cells = (50 + 5 * labels + random.normal(0, 2, (60, 60))).astype(np.float32)
    ab = random.normal(10, 8, (30, 30, 2)).astype(np.float32)
    areas = _fit_areas(labels, cells, ab)
    quarters = [labels[y::2, x::2] for y in (0, 1) for x in (0, 1)]
    is_whole = np.all([quarter == of_pixels for quarter in quarters], axis=0)
    light = cells.reshape(30, 2, 30, 2).astype(float).mean(axis=(1, 3))
    for area in range(1, 6):
        inside = is_whole & (of_pixels == area)
        at, values = light[inside], ab[inside].T.astype(float)
        weight = np.ones(len(at))
        for _ in range(2):
            mean = np.average(at, weights=weight)
            slope = ((values * weight) @ (at - mean)) / weight.sum()
            slope /= np.average((at - mean) ** 2, weights=weight) + 9
            color = np.average(values, axis=1, weights=weight)
            error = values - color[:, None] - slope[:, None] * (at - mean)
            last, weight = weight, np.exp(np.square(error).sum(axis=0) / (-2 * 12**2))
        assert last.sum() < len(at)
        assert np.allclose(areas.slope[:, area], slope, atol=1e-4)
        assert np.isclose(areas.lightness[area], mean, atol=1e-4)
        assert areas.is_flat[area]


def test_cells_around_an_area_take_the_label_of_a_near_cell():
    labels = np.zeros((12, 30), np.float32)
    labels[2:5, 3:6], labels[7:9, 20:28], labels[10, 1] = 1, 2, 3
    grown = _grow(labels, np.full(labels.shape, 50, np.float32))
    rows, columns = np.nonzero(labels)
    for row, column in np.ndindex(labels.shape):
        distance = np.maximum(abs(rows - row), abs(columns - column))
        if distance.min() <= 3:
            near = labels[rows, columns][distance == distance.min()]
            assert grown[row, column] in near
        else:
            assert grown[row, column] == 0


@pytest.mark.parametrize(("step", "joins"), [(-6.5, 0), (-5.5, 7), (5.5, 7), (6.5, 0)])
def test_only_cells_as_light_as_the_border_of_an_area_join_it(step, joins):
    labels = np.zeros((1, 9), np.float32)
    labels[0, :4] = 7
    lightness = np.array([[90, 80, 70, 60, 60 + step, 60 + 2 * step, 60, 60, 60]], np.float32)
    grown = _grow(labels, lightness)[0]
    assert grown[4] == joins
    assert grown[5] == 0  # compared with the area's border, and not with the cell before
