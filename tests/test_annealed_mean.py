import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recolor_cli.color.ab_bins import AbBins
from recolor_cli.color.annealed_mean import annealed_mean

BINS = AbBins.srgb()
logits_of_a_pixel = hnp.arrays(
    np.float32, (1, len(BINS), 1, 1), elements=st.floats(-50, 50, width=32)
)


@given(logits_of_a_pixel, st.floats(0.05, 10))
def test_stays_among_the_centres(logits, temperature):
    ab = annealed_mean(logits, BINS, temperature)[0, :, 0, 0]
    assert (ab >= BINS.centers.min(axis=0) - 1e-3).all()
    assert (ab <= BINS.centers.max(axis=0) + 1e-3).all()


@given(logits_of_a_pixel, st.floats(-1000, 1000))
def test_a_constant_on_all_logits_changes_nothing(logits, shift):
    moved = annealed_mean(logits + np.float32(shift), BINS)
    np.testing.assert_allclose(moved, annealed_mean(logits, BINS), atol=0.05)


def test_cold_is_the_mode_and_hot_the_mean():
    logits = np.random.default_rng(0).normal(size=(2, len(BINS), 3, 4)).astype(np.float32)
    mode = BINS.centers[logits.argmax(axis=1)].transpose(0, 3, 1, 2)
    np.testing.assert_allclose(annealed_mean(logits, BINS, 1e-5), mode, atol=0.5)
    hot = annealed_mean(logits, BINS, 1e6)
    np.testing.assert_allclose(hot[0, :, 0, 0], BINS.centers.mean(axis=0), atol=1e-2)


def test_anneals_probabilities_as_published():
    logits = np.random.default_rng(1).normal(size=(1, len(BINS), 2, 2)).astype(np.float32)
    p = np.exp(logits - logits.max(axis=1, keepdims=True)).astype(np.float64)
    p /= p.sum(axis=1, keepdims=True)
    annealed = np.exp(np.log(p) / 0.38)
    annealed /= annealed.sum(axis=1, keepdims=True)
    expected = np.einsum("nqhw,qc->nchw", annealed, BINS.centers.astype(np.float64))
    np.testing.assert_allclose(annealed_mean(logits, BINS, 0.38), expected, atol=1e-3)


def test_huge_logits_stay_finite():
    logits = np.zeros((1, len(BINS), 1, 1), np.float32)
    logits[0, 5] = 1e4
    np.testing.assert_allclose(annealed_mean(logits, BINS)[0, :, 0, 0], BINS.centers[5])


@pytest.mark.parametrize("temperature", [0, -1, float("nan")])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
    with pytest.raises(ValueError, match="positive"):
        annealed_mean(np.zeros((1, 394, 1, 1), np.float32), BINS, temperature)


def test_another_number_of_channels_is_refused():
    with pytest.raises(ValueError, match="394"):
        annealed_mean(np.zeros((1, 313, 1, 1), np.float32), BINS)
