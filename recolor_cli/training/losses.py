"""Loss functions, and the soft labels and class weights of classification.

References
----------
[Zhang2016] Zhang, Isola, Efros: Colorful image colorization, ECCV 2016, sections 2.1 and 2.2.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def soft_encode(
    ab: Tensor, centers: Tensor, neighbours: int, sigma: float
) -> tuple[Tensor, Tensor]:
    """Spread each ab over its nearest bins with Gaussian weights.

    Parameters
    ----------
    ab : float tensor, shape (P, 2), CIELAB units
    centers : float tensor, shape (Q, 2), CIELAB units
    neighbours : int
        Number of bins that share a label.
    sigma : float
        Of the Gaussian on the distance, ab units.

    Returns
    -------
    index : int64 tensor, shape (P, neighbours)
        Bins, the nearest first.
    weight : float tensor, shape (P, neighbours)
        Their shares; each row sums to 1.

    Notes
    -----
    Only the neighbours are kept, because 98 % of the 394 values of a dense label are zero.
    """
    squared = torch.cdist(ab, centers, compute_mode="donot_use_mm_for_euclid_dist").square()
    squared, index = squared.topk(neighbours, dim=1, largest=False)
    # softmax normalises without 0 / 0 for a color far outside all bins.
    return index, torch.softmax(-squared / (2 * sigma**2), dim=1)


def rebalance_weights(prior: Tensor, rebalance: float) -> Tensor:
    """Return class weights, larger for rare classes, whose mean under the prior is 1.

    Parameters
    ----------
    prior : float tensor, shape (Q,)
        Frequency of each bin in the training pictures; sums to 1.
    rebalance : float
        lambda, 0..1: w = 1 / ((1 - lambda) p + lambda / Q), scaled to E_p[w] = 1. 0 weighs classes
        by the inverse prior, 1 weighs all the same.
    """
    # At lambda = 0 a class that never occurs would have an infinite weight, which nothing uses.
    weights = 1 / ((1 - rebalance) * prior + rebalance / len(prior)).clamp(min=1e-8)
    return weights / (weights * prior).sum()


def smooth_prior(prior: Tensor, centers: Tensor, sigma: float) -> Tensor:
    """Blur a prior over the ab plane, because a rare bin among frequent ones is not a rare color.

    Parameters
    ----------
    prior : float tensor, shape (Q,)
        Sums to 1.
    centers : float tensor, shape (Q, 2), CIELAB units
    sigma : float
        Of the Gaussian, ab units; 0 returns the prior itself. [Zhang2016] uses 5.
    """
    if sigma == 0:
        return prior
    kernel = torch.exp(-torch.cdist(centers, centers).square() / (2 * sigma**2))
    return kernel / kernel.sum(dim=0) @ prior  # each bin's share is kept in the sum


def rebalanced_cross_entropy(
    logits: Tensor, index: Tensor, weight: Tensor, pixel_weights: Tensor
) -> Tensor:
    """Return the mean cross-entropy against soft labels, weighted by class, in nats per pixel.

    Parameters
    ----------
    logits : float tensor, shape (P, Q)
    index, weight : tensors, shape (P, neighbours)
        As `soft_encode` returns them.
    pixel_weights : float tensor, shape (P,)
        The class weight of each pixel's nearest bin.

    Notes
    -----
    It is logsumexp minus the weighted logits of the labels, so that the log-probabilities of the
    other 389 classes are not computed.
    """
    loss = logits.logsumexp(dim=1) - (logits.gather(1, index) * weight).sum(dim=1)
    # Not divided by the sum of the weights, which would undo the rebalancing between pictures.
    return (loss * pixel_weights).mean()


def color_distance(logits: Tensor, ab: Tensor, centers: Tensor, temperature: float) -> Tensor:
    """Return the mean smooth L1 distance of the annealed mean to the true color, ab units.

    Parameters
    ----------
    logits : float tensor, shape (P, Q)
    ab : float tensor, shape (P, 2), CIELAB units
    centers : float tensor, shape (Q, 2), CIELAB units
    temperature : float
        Of the annealed mean.

    Notes
    -----
    To the cross-entropy all wrong bins are equally wrong, whatever their distance. This term
    measures the distance, after the decoding of an undecided distribution.
    """
    decoded = torch.softmax(logits / temperature, dim=1) @ centers
    return torch.nn.functional.smooth_l1_loss(decoded, ab, beta=10.0)


def squared_distance(ab: Tensor, true: Tensor) -> Tensor:
    """Return the mean of ((a - a')² + (b - b')²) / 2 / 128², the loss of regression networks.

    It is [Meistrenko, Eq. 1] with ab scaled to -1..1. Both tensors are (P, 2), CIELAB units.
    """
    return torch.nn.functional.mse_loss(ab / 128, true / 128)


def choose_pixels(inside: Tensor, share: float) -> Tensor:
    """Return the indices of random pixels inside the picture, by torch's global random state.

    `inside` is bool (N, h, w), `share` of its pixels are returned, but at least one: int64 (P,), in
    the order n, h, w.
    """
    numbers = inside.flatten().nonzero()[:, 0]
    if share == 1:
        return numbers
    count = max(1, round(share * len(numbers)))
    return numbers[torch.randperm(len(numbers), device=numbers.device)[:count]]


def photograph_loss(share: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss of the gate: binary cross-entropy with equal weight on both kinds of picture.

    `share` is that of photographs among the pictures, between 0 and 1. The loss takes logits (N,)
    and whether each picture is a photograph (N,).
    """
    weight = torch.tensor((1 - share) / share)

    def loss(logits: Tensor, photograph: Tensor) -> Tensor:
        return torch.nn.functional.binary_cross_entropy_with_logits(
            logits, photograph.float(), pos_weight=weight.to(logits)
        )

    return loss
