"""The losses against their definitions."""

import numpy as np
import pytest
import torch

from recolor_cli.color.ab_bins import AbBins
from recolor_cli.color.annealed_mean import annealed_mean
from recolor_cli.training.losses import (
    choose_pixels,
    color_distance,
    photograph_loss,
    rebalance_weights,
    rebalanced_cross_entropy,
    smooth_prior,
    soft_encode,
)

BINS = AbBins.srgb()
CENTERS = torch.from_numpy(BINS.centers)


def test_soft_labels_against_the_definition():
    ab = np.random.default_rng(0).uniform(-80, 80, (50, 2)).astype(np.float32)
    index, weight = soft_encode(torch.from_numpy(ab), CENTERS, 5, 5.0)
    for i in range(50):
        squared = np.square(BINS.centers - ab[i]).sum(axis=1)
        nearest = np.argsort(squared, kind="stable")[:5]
        expected = np.exp(-squared[nearest] / 50)
        expected /= expected.sum()
        np.testing.assert_allclose(np.sort(weight[i]), np.sort(expected), atol=1e-5)
        assert index[i, 0] == nearest[0] or np.isclose(squared[nearest[0]], squared[nearest[1]])
    torch.testing.assert_close(weight.sum(dim=1), torch.ones(50))


def test_soft_labels_decode_to_the_color_they_came_from():
    ab = np.random.default_rng(0).uniform(-40, 40, (500, 2)).astype(np.float32)
    index, weight = soft_encode(torch.from_numpy(ab), CENTERS, 5, 5.0)
    decoded = (CENTERS[index] * weight[..., None]).sum(dim=1).numpy()
    assert np.linalg.norm(decoded - ab, axis=1).mean() < 1  # the bins are not the bottleneck


def test_a_color_far_outside_has_a_label():
    index, weight = soft_encode(torch.tensor([[4000.0, -3000.0]]), CENTERS, 5, 5.0)
    assert float(weight.sum()) == pytest.approx(1)
    nearest = np.linalg.norm(BINS.centers - (4000.0, -3000.0), axis=1).argmin()
    assert index[0, 0] == nearest
    assert weight[0, 0] == weight.max()


def test_weights_have_mean_one_and_are_larger_for_the_rare():
    prior = torch.tensor([0.7, 0.2, 0.1, 0.0])
    for rebalance in (0.0, 0.5, 0.9):
        weights = rebalance_weights(prior, rebalance)
        assert float((weights * prior).sum()) == pytest.approx(1)
        assert weights[0] < weights[1] < weights[2]
    torch.testing.assert_close(rebalance_weights(prior, 1.0), torch.ones(4))


def test_a_smoothed_prior_is_one_still_and_lifts_the_rare_neighbour():
    prior = torch.zeros(len(BINS))
    prior[200] = 1
    torch.testing.assert_close(smooth_prior(prior, CENTERS, 0.0), prior)
    smooth = smooth_prior(prior, CENTERS, 5.0)
    assert float(smooth.sum()) == pytest.approx(1)
    distance = torch.linalg.norm(CENTERS - CENTERS[200], dim=1)
    order = distance.argsort()
    assert smooth[200] == smooth.max()
    assert smooth[order[1]] > 10 * smooth[order[30]]
    expected = torch.exp(-distance.square() / 50)
    torch.testing.assert_close(smooth, expected / expected.sum())


def test_the_distance_of_colors_is_that_of_the_annealed_mean():
    logits = torch.randn(50, len(BINS), generator=torch.Generator().manual_seed(0)) * 3
    ab = torch.randn(50, 2, generator=torch.Generator().manual_seed(1)) * 30
    decoded = annealed_mean(logits.T[None, :, :, None].numpy(), BINS, 0.5)[0, :, :, 0].T
    error = np.abs(decoded - ab.numpy())
    expected = np.where(error < 10, error**2 / 20, error - 5).mean()
    assert float(color_distance(logits, ab, CENTERS, 0.5)) == pytest.approx(expected, rel=1e-4)


def loss_of(class_weights):
    torch.manual_seed(0)
    logits = torch.randn(24, len(BINS))
    ab = torch.randn(24, 2) * 30
    index, weight = soft_encode(ab, CENTERS, 5, 5.0)
    loss = rebalanced_cross_entropy(logits, index, weight, class_weights[index[:, 0]])
    dense = torch.zeros(len(ab), len(BINS)).scatter_(1, index, weight)
    each = -(dense * logits.log_softmax(1)).sum(1)
    return float(loss), each * class_weights[index[:, 0]]


def test_the_loss_is_the_cross_entropy_with_dense_labels():
    loss, each = loss_of(torch.ones(len(BINS)))
    assert loss == pytest.approx(float(each.mean()), rel=1e-5)


def test_rebalancing_changes_the_loss():
    # The system that this descends from computed its weights and then dropped them.
    weights = torch.rand(len(BINS)) * 3
    loss, each = loss_of(weights)
    assert loss == pytest.approx(float(each.mean()), rel=1e-5)
    assert loss != pytest.approx(loss_of(torch.ones(len(BINS)))[0], rel=1e-2)


def test_padding_is_never_chosen_and_the_share_is_kept():
    inside = torch.zeros(2, 30, 40, dtype=torch.bool)
    inside[0, :20] = True
    everything = choose_pixels(inside, 1.0)
    assert everything.tolist() == list(range(800))
    some = choose_pixels(inside, 0.25)
    assert len(some) == len(set(some.tolist())) == 200
    assert inside.flatten()[some].all()
    assert some.tolist() != choose_pixels(inside, 0.25).tolist()
    one = torch.zeros(1, 4, 4, dtype=torch.bool)
    one[0, 2, 2] = True
    assert choose_pixels(one, 0.01).tolist() == [10]


def test_the_loss_of_the_gate_counts_both_kinds_alike():
    logits, photograph = torch.tensor([2.0, -1.0, 3.0, 0.5]), torch.tensor([1.0, 0, 0, 0])
    kinds = [
        torch.nn.functional.binary_cross_entropy_with_logits(logits[part], photograph[part])
        for part in (slice(0, 1), slice(1, 4))
    ]
    loss = photograph_loss(0.25)(logits, photograph)
    torch.testing.assert_close(loss, (kinds[0] + kinds[1]) * 0.75)
