"""What a classification network is trained towards: soft labels, rebalanced cross-entropy.

References
----------
[Zhang2016] Zhang, Isola, Efros: Colorful image colorization, ECCV 2016, sections 2.1 and 2.2.
"""

from __future__ import annotations

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
        How many bins share a label.
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
    Only the neighbours are kept: the dense label would be 394 wide and 98 % zeros.
    """
    squared = torch.cdist(ab, centers, compute_mode="donot_use_mm_for_euclid_dist").square()
    squared, index = squared.topk(neighbours, dim=1, largest=False)
    # softmax normalises, and a color far outside all bins cannot underflow to 0 / 0.
    return index, torch.softmax(-squared / (2 * sigma**2), dim=1)


def rebalance_weights(prior: Tensor, rebalance: float) -> Tensor:
    """Return a weight for each class, larger for the rare ones, whose mean under the prior is 1.

    Parameters
    ----------
    prior : float tensor, shape (Q,)
        Frequency of each bin in the training pictures; sums to 1.
    rebalance : float
        lambda, 0..1: w = 1 / ((1 - lambda) p + lambda / Q), scaled to E_p[w] = 1. 0 weighs by the
        inverse prior alone, 1 weighs all classes the same.

    Returns
    -------
    float tensor, shape (Q,)
    """
    # A class that never occurred would weigh infinitely at lambda = 0; none asks for its weight.
    weights = 1 / ((1 - rebalance) * prior + rebalance / len(prior)).clamp(min=1e-8)
    return weights / (weights * prior).sum()


def rebalanced_cross_entropy(
    logits: Tensor, index: Tensor, weight: Tensor, class_weights: Tensor, inside: Tensor
) -> Tensor:
    """Return the mean cross-entropy against soft labels, nats a pixel, weighted by class.

    Parameters
    ----------
    logits : float tensor, shape (N, Q, h, w)
    index, weight : tensors, shape (N * h * w, neighbours)
        As `soft_encode` returns them, pixels in the order n, h, w.
    class_weights : float tensor, shape (Q,)
        As `rebalance_weights` returns them; all ones for none.
    inside : bool tensor, shape (N, h, w)
        False where there is padding: that counts for nothing.

    Returns
    -------
    float tensor, shape ()

    Notes
    -----
    logsumexp minus the labels' share of the logits: the log-probabilities of the other 389 classes
    are never formed.
    """
    flat = logits.permute(0, 2, 3, 1).flatten(0, 2)  # (P, Q)
    loss = flat.logsumexp(dim=1) - (flat.gather(1, index) * weight).sum(dim=1)
    pixel_weights = class_weights[index[:, 0]] * inside.flatten()
    # Not over the sum of the weights: that would undo the rebalancing between pictures.
    return (loss * pixel_weights).sum() / inside.sum().clamp(min=1)
