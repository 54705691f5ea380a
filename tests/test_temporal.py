"""The figures for steadiness."""

import math

import numpy as np
import pytest
from benchmarks.temporal import Motion, color_distribution_consistency, histogram


def shares(*levels):
    return histogram(np.array(levels, np.uint8)[None, :, None].repeat(3, axis=2))


def test_histogram_is_of_shares():
    rgb = np.zeros((2, 2, 3), np.uint8)
    rgb[0, 0] = (255, 1, 0)
    result = histogram(rgb)
    assert result.shape == (3, 256)
    assert result[0, [0, 255]].tolist() == [0.75, 0.25]
    assert result.sum() == 3


def test_cdc_of_what_stays_is_zero_and_of_what_changes_wholly_the_logarithm_of_two():
    still = [shares(5, 9)] * 6
    assert color_distribution_consistency(still) == 0
    changing = [shares(level) for level in range(8)]
    assert color_distribution_consistency(changing) == pytest.approx(math.log(2))


def test_cdc_by_hand():
    frames = [shares(0, 0)] * 5 + [shares(0, 1)]
    # p = (1, 0), q = (1/2, 1/2), m = (3/4, 1/4)
    one = (math.log(4 / 3) + 0.5 * math.log(2 / 3) + 0.5 * math.log(2)) / 2
    assert color_distribution_consistency(frames) == pytest.approx(
        (one / 5 + one / 4 + one / 2) / 3
    )


def test_warp_error_follows_the_motion():
    random = np.random.default_rng(0)
    texture = np.kron(random.uniform(10, 90, (16, 24)), np.ones((6, 6))).astype(np.float32)
    before, after = texture[:, 3:123].copy(), texture[:, :120].copy()  # moved by 3 px
    motion = Motion(before, after)
    color = np.dstack((texture, -texture)) / 4
    moved = motion.warp_error(color[:, 3:123].copy(), color[:, :120].copy())
    stayed = motion.warp_error(color[:, 3:123].copy(), color[:, 3:123].copy())
    assert moved < 0.35 * stayed
    shifted = motion.warp_error(color[:, 3:123].copy(), color[:, :120] + np.float32([3, 4]))
    assert shifted == pytest.approx(5, abs=1)
