"""Compute the loss that a training step minimises, of the color or of the gate for photographs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from recolor_cli.errors import NoInputsError
from recolor_cli.evaluation.pictures import Picture
from recolor_cli.training.config import TrainConfig
from recolor_cli.training.data import Batch
from recolor_cli.training.losses import (
    choose_pixels,
    color_distance,
    photograph_loss,
    rebalance_weights,
    rebalanced_cross_entropy,
    smooth_prior,
    soft_encode,
    squared_distance,
)
from recolor_cli.training.networks.base import AbNetwork
from recolor_cli.training.picture_order import PictureOrder
from recolor_cli.training.run_state import RunState, gated_network
from recolor_cli.training.torch_device import memory_format

Loss = Callable[[Tensor, Tensor], Tensor]  # of a prediction in float32 and its target


@dataclass(frozen=True, slots=True)
class Objective:
    """The loss that a training step minimises, and the prediction that it compares.

    Parameters
    ----------
    predict : callable
        Returns the network's prediction for the samples of a step, and the target.
    loss : callable
        Of a prediction in float32 and its target.
    trains_norms : bool
        Whether batch norms gather statistics.
    """

    predict: Callable[[Sequence[Batch]], tuple[Tensor, Tensor]]
    loss: Loss
    trains_norms: bool = True


def make_objective(run: RunState, pictures: Sequence[Picture]) -> Objective:
    """Return the objective of a run: the color of pixels, or the gate for photographs.

    Raises
    ------
    NoInputsError
        If the gate is trained, and the pictures are all photographs or none.
    """
    network, config = run.network, run.config
    device = next(network.parameters()).device

    def to_device(array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(device, non_blocking=True)

    def lightness_of(batch: Batch) -> Tensor:
        return to_device(batch.lightness).to(memory_format=memory_format(device))

    def predict_some(batch: Batch) -> tuple[Tensor, Tensor]:
        pixels = choose_pixels(to_device(batch.inside), config.loss_pixels)
        true = to_device(batch.color).flatten(0, 2)[pixels]
        return network.predict_at(lightness_of(batch), pixels), true

    def predict_color(samples: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        """Return logits (P, Q) or ab (P, 2), and the true color (P, 2), at random pixels."""
        predicted, true = zip(*map(predict_some, samples), strict=True)
        return torch.cat(predicted), torch.cat(true)

    if gated := gated_network(config, network):

        def predict_photograph(samples: Sequence[Batch]) -> tuple[Tensor, Tensor]:
            """Return the gate's logits (N,), and which pictures are photographs (N,)."""
            logits = [gated.photograph_logits(lightness_of(batch)) for batch in samples]
            return torch.cat(logits), torch.cat([to_device(batch.photograph) for batch in samples])

        loss = photograph_loss(share_of_photographs(pictures, config))
        # Weights that are not trained must not change by statistics either.
        return Objective(predict_photograph, loss, trains_norms=False)
    if isinstance(network, AbNetwork):
        return Objective(predict_color, squared_distance)
    centers, prior = (torch.from_numpy(a).to(device) for a in (run.centers, run.prior))
    loss = _classification_loss(config, centers, prior)
    return Objective(predict_color, loss, trains_norms=not config.whole_pictures)


def _classification_loss(config: TrainConfig, centers: Tensor, prior: Tensor) -> Loss:
    """Return the loss of logits (P, Q) against the true color (P, 2)."""
    smoothed = smooth_prior(prior, centers, config.smoothing)
    weights = rebalance_weights(smoothed, config.rebalance)

    def loss(logits: Tensor, true: Tensor) -> Tensor:
        index, weight = soft_encode(true, centers, config.neighbours, config.sigma)
        entropy = rebalanced_cross_entropy(logits, index, weight, weights[index[:, 0]])
        if not config.color_loss:
            return entropy
        distance = color_distance(logits, true, centers, config.temperature)
        return entropy + config.color_loss * distance

    return loss


def share_of_photographs(pictures: Sequence[Picture], config: TrainConfig) -> float:
    """Return the share of photographs among the pictures of an epoch."""
    drawn = PictureOrder(pictures, config).epoch()
    share = sum(pictures[index].is_one_of(config.photographs) for index in drawn) / len(drawn)
    if not 0 < share < 1:
        raise NoInputsError(
            f"{share:.0%} of the pictures that are drawn are photographs by their names",
            "the gate needs photographs and other pictures: change `photographs` in the config",
        )
    return share
