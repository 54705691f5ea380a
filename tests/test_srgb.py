import numpy as np
import pytest

from recolor_cli.color.srgb import linear_to_srgb, srgb_to_linear


# From the table of IEC 61966-2-1: the ends, the joint of both parts, and a gray of 50 %.
@pytest.mark.parametrize(
    ("level", "light"), [(0, 0), (1, 1), (0.04045, 0.0031308), (0.5, 0.214041)]
)
def test_known_values(level, light):
    assert srgb_to_linear(np.array(level)) == pytest.approx(light, abs=1e-6)
    assert linear_to_srgb(np.array(light)) == pytest.approx(level, abs=1e-6)


def test_there_and_back_in_any_precision():
    for dtype, error in ((np.float64, 1e-6), (np.float32, 1e-5)):
        levels = np.linspace(0, 1, 1001, dtype=dtype)
        np.testing.assert_allclose(linear_to_srgb(srgb_to_linear(levels)), levels, atol=error)
        assert srgb_to_linear(levels).dtype == dtype


def test_negative_levels_continue_the_straight_part():
    np.testing.assert_allclose(srgb_to_linear(np.array([-0.1, -1.0])), [-0.1 / 12.92, -1 / 12.92])
