"""Color over time: steady along the motion, new at a cut."""

import math

import cv2
import numpy as np
import pytest

from recolor_cli.video.scenes import measure_difference
from recolor_cli.video.temporal_smoothing import TemporalSmoother, warp

SIZE, COARSE = 64, 16


def picture(seed, shift=0):
    random = np.random.default_rng(seed)
    wide = np.kron(random.uniform(10, 90, (8, 16)), np.ones((8, 8)))
    return np.ascontiguousarray(np.roll(wide, shift, axis=1)[:, :SIZE], np.float32)


def answer(value):
    return np.full((COARSE, COARSE, 2), value, np.float32)


def test_the_weights_are_those_of_the_formula():
    smoother = TemporalSmoother(alpha=0.5)
    still = picture(1)
    values = [3.0, -7.0, 20.0, 4.0]
    for value in values:
        result = smoother.smooth(still, answer(value))
    weights = [math.exp(-0.5 * i) for i in range(4)]
    expected = np.dot(weights, values[::-1]) / sum(weights)
    assert result == pytest.approx(np.full_like(result, expected), abs=1e-3)


def test_off_is_off():
    smoother = TemporalSmoother(alpha=math.inf)
    smoother.smooth(picture(1), answer(5))
    assert (smoother.smooth(picture(1), answer(-5)) == -5).all()


def test_noise_is_averaged_away():
    random = np.random.default_rng(0)
    smoother = TemporalSmoother(alpha=0.2)
    still = picture(2)
    noisy = [random.normal(0, 10, (COARSE, COARSE, 2)).astype(np.float32) for _ in range(40)]
    smooth = [smoother.smooth(still, frame) for frame in noisy]
    steps = [np.abs(np.diff(frames[20:], axis=0)).mean() for frames in (noisy, smooth)]
    assert steps[1] < 0.25 * steps[0]


def test_a_cut_begins_anew():
    smoother = TemporalSmoother()
    for _ in range(3):
        smoother.smooth(picture(3), answer(40))
    assert (smoother.smooth(picture(4), answer(-20)) == -20).all()
    assert smoother.cuts == 1


def test_the_threshold_is_heeded():
    smoother = TemporalSmoother(scene_threshold=2)
    smoother.smooth(picture(3), answer(40))
    smoother.smooth(picture(4), answer(-20))
    assert smoother.cuts == 0


def test_color_moves_with_its_thing():
    random = np.random.default_rng(0)
    wide = cv2.GaussianBlur(random.uniform(-700, 800, (SIZE, 2 * SIZE)), (0, 0), 5) + 50
    errors = {}
    for motion in (False, True):
        smoother = TemporalSmoother(alpha=0.1, motion=motion)
        for shift in range(0, 40, 4):
            seen = np.ascontiguousarray(wide[:, shift : shift + SIZE], np.float32)
            color = seen.reshape(COARSE, 4, COARSE, 4).mean(axis=(1, 3)) - 50  # hangs on the thing
            noise = random.normal(0, 10, (COARSE, COARSE, 2))
            wanted = np.dstack((color, -color))
            result = smoother.smooth(seen, (wanted + noise).astype(np.float32))
        errors[motion] = np.abs(result - wanted)[2:-2, 2:-2].mean()
    assert errors[True] < 0.6 * errors[False]
    assert errors[True] < 4.5  # of 8 in a single frame


def test_flicker_of_brightness_forgets_nothing():
    smoother = TemporalSmoother(alpha=0.0, motion=False)
    smoother.smooth(picture(6), answer(10))
    result = smoother.smooth(picture(6) + 8, answer(20))
    assert result == pytest.approx(np.full_like(result, 15), abs=0.01)


def test_what_changed_is_forgotten():
    smoother = TemporalSmoother(alpha=0.0, scene_threshold=2, motion=False)
    before, after = picture(7), picture(7)
    after[:, :16] = np.where(after[:, :16] > 50, 0, 100)  # something came in at the left
    smoother.smooth(before, answer(10))
    result = smoother.smooth(after, answer(20))
    assert result[:, :4].mean() > 19
    assert result[:, 8:] == pytest.approx(15, abs=0.5)


def test_a_state_taken_up_goes_on_the_same():
    frames = [(picture(8, shift), answer(shift * 3.0)) for shift in range(6)]
    one, two = TemporalSmoother(), TemporalSmoother()
    results = [one.smooth(*frame) for frame in frames[:3]]
    two.state = one.state
    for frame in frames[3:]:
        assert (one.smooth(*frame) == two.smooth(*frame)).all()
    assert len(results) == 3


def test_only_the_picture_is_looked_at_for_cuts():
    smoother = TemporalSmoother()
    smoother.inside = (slice(24, 40), slice(None))
    padded = [np.full((SIZE, SIZE), 50, np.float32) for _ in range(2)]
    padded[0][24:40], padded[1][24:40] = picture(9)[24:40], picture(10)[24:40]
    smoother.smooth(padded[0], answer(1))
    smoother.smooth(padded[1], answer(2))
    assert smoother.cuts == 1


@pytest.mark.parametrize(
    ("after", "low", "high"),
    [
        (picture(1), 0, 1e-6),
        (0.8 * picture(1) + 10, 0, 1e-6),  # flicker
        (picture(1, 1), 0, 0.3),  # motion
        (picture(2), 0.6, 2),  # another shot
        (100 - picture(1), 1.9, 2.001),
        (np.zeros((SIZE, SIZE), np.float32), 0, 0),  # a fade
    ],
)
def test_measure_difference(after, low, high):
    assert low <= measure_difference(picture(1), after.astype(np.float32)) <= high


def test_warp_takes_what_lies_along_the_flow():
    plane = np.arange(16, dtype=np.float32).reshape(4, 4)
    flow = np.zeros((4, 4, 2), np.float32)
    flow[..., 0] = 1
    assert warp(plane, flow)[:, :3].tolist() == plane[:, 1:].tolist()
