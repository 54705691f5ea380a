"""What a classification network is trained towards: soft labels, rebalanced cross-entropy.

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


def smooth_prior(prior: Tensor, centers: Tensor, sigma: float) -> Tensor:
    """Spread a prior over the ab plane: a rare bin among frequent ones is no rare color.

    Parameters
    ----------
    prior : float tensor, shape (Q,)
        Sums to 1.
    centers : float tensor, shape (Q, 2), CIELAB units
    sigma : float
        Of the Gaussian, ab units; 0 leaves the prior as it is. [Zhang2016] has 5.

    Returns
    -------
    float tensor, shape (Q,)
        Sums to 1.
    """
    if sigma == 0:
        return prior
    kernel = torch.exp(-torch.cdist(centers, centers).square() / (2 * sigma**2))
    return kernel / kernel.sum(dim=0) @ prior  # each bin gives away just what it has


def rebalanced_cross_entropy(
    logits: Tensor, index: Tensor, weight: Tensor, pixel_weights: Tensor
) -> Tensor:
    """Return the mean cross-entropy against soft labels, nats a pixel, weighted by class.

    Parameters
    ----------
    logits : float tensor, shape (P, Q)
    index, weight : tensors, shape (P, neighbours)
        As `soft_encode` returns them.
    pixel_weights : float tensor, shape (P,)
        Of `rebalance_weights` at each pixel's nearest bin; all ones for none.

    Returns
    -------
    float tensor, shape ()

    Notes
    -----
    logsumexp minus the labels' share of the logits: the log-probabilities of the other 389 classes
    are never formed.
    """
    loss = logits.logsumexp(dim=1) - (logits.gather(1, index) * weight).sum(dim=1)
    # Not over the sum of the weights: that would undo the rebalancing between pictures.
    return (loss * pixel_weights).mean()


def color_distance(logits: Tensor, ab: Tensor, centers: Tensor, temperature: float) -> Tensor:
    """Return the mean smooth L1 distance of the annealed mean to the true color, ab units.

    Parameters
    ----------
    logits : float tensor, shape (P, Q)
    ab : float tensor, shape (P, 2), CIELAB units
    centers : float tensor, shape (Q, 2), CIELAB units
    temperature : float
        As the model is decoded with.

    Returns
    -------
    float tensor, shape ()

    Notes
    -----
    The cross-entropy knows no distance: a wrong bin is as wrong next door as across the plane. This
    term does, and sees what the decoder makes of an undecided distribution.
    """
    decoded = torch.softmax(logits / temperature, dim=1) @ centers
    return torch.nn.functional.smooth_l1_loss(decoded, ab, beta=10.0)


def squared_distance(ab: Tensor, true: Tensor) -> Tensor:
    """Return the loss of regression networks: the mean of ((a - a')² + (b - b')²) / 2, over 128².

    Parameters
    ----------
    ab, true : float tensors, shape (P, 2), CIELAB units

    Returns
    -------
    float tensor, shape ()
        [Meistrenko, Eq. 1] with ab scaled to -1..1.
    """
    return torch.nn.functional.mse_loss(ab / 128, true / 128)


def choose_pixels(inside: Tensor, share: float) -> Tensor:
    """Return the numbers of some pixels that are no padding, at random (torch's global state).

    Parameters
    ----------
    inside : bool tensor, shape (N, h, w)
    share : float
        Of those inside, 0..1; at least one is returned.

    Returns
    -------
    int64 tensor, shape (P,)
        In the order n, h, w.
    """
    numbers = inside.flatten().nonzero()[:, 0]
    if share == 1:
        return numbers
    count = max(1, round(share * len(numbers)))
    return numbers[torch.randperm(len(numbers), device=numbers.device)[:count]]


def photograph_loss(share: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss of the gate: binary cross-entropy, both kinds of pictures counting the same.

    Parameters
    ----------
    share : float
        Of photographs among the pictures, between 0 and 1.

    Returns
    -------
    callable
        Of logits, float (N,), and what is true, float (N,) of zeros and ones.
    """
    weight = torch.tensor((1 - share) / share)

    def loss(logits: Tensor, photograph: Tensor) -> Tensor:
        return torch.nn.functional.binary_cross_entropy_with_logits(
            logits, photograph.float(), pos_weight=weight.to(logits)
        )

    return loss
