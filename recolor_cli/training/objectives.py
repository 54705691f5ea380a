"""Compute the loss that a training step minimises, of the color or of the gate for photographs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
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
from recolor_cli.training.networks.base import AbNetwork, ColorModule
from recolor_cli.training.networks.efficientnet_unet import EfficientNetUNet
from recolor_cli.training.run_state import RunState, gated_network

Loss = Callable[[Tensor, Tensor], Tensor]  # of a prediction in float32 and its target


class Objective(ABC):
    """The prediction for a batch, its target, and the loss of one against the other."""

    trains_norms = True  # whether batch norms gather statistics

    def __init__(self, device: torch.device, loss: Loss) -> None:
        self.loss = loss
        self._device = device

    @abstractmethod
    def predict(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the network's prediction for a batch, and the target."""

    def _to_device(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self._device, non_blocking=True)

    def _lightness(self, batch: Batch) -> Tensor:
        lightness = self._to_device(batch.lightness)
        if self._device.type == "cuda":
            return lightness.to(memory_format=torch.channels_last)
        return lightness


class ColorObjective(Objective):
    """The color of some pixels: logits (P, Q) or ab (P, 2), against the true color (P, 2)."""

    def __init__(
        self, network: ColorModule, device: torch.device, loss: Loss, loss_pixels: float
    ) -> None:
        super().__init__(device, loss)
        self._network = network
        self._loss_pixels = loss_pixels

    def predict(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the prediction and the true color at pixels drawn from torch's global state."""
        pixels = choose_pixels(self._to_device(batch.inside), self._loss_pixels)
        true = self._to_device(batch.color).flatten(0, 2)[pixels]
        return self._network.predict_at(self._lightness(batch), pixels), true


class GateObjective(Objective):
    """Whether each picture is a photograph: logits (N,), against zeros and ones (N,)."""

    trains_norms = False  # weights that are not trained must not change by statistics either

    def __init__(self, network: EfficientNetUNet, device: torch.device, loss: Loss) -> None:
        super().__init__(device, loss)
        self._network = network

    def predict(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the gate's logits, and which pictures are photographs."""
        logits = self._network.photograph_logits(self._lightness(batch))
        return logits, self._to_device(batch.photograph)


def make_objective(run: RunState, pictures: Sequence[Picture]) -> Objective:
    """Return the objective of a run.

    Raises
    ------
    NoInputsError
        If the gate is trained, and the pictures are all photographs or none.
    """
    network, config = run.network, run.config
    device = next(network.parameters()).device
    if gated := gated_network(config, network):
        loss = photograph_loss(_share_of_photographs(pictures, config))
        return GateObjective(gated, device, loss)
    if isinstance(network, AbNetwork):
        return ColorObjective(network, device, squared_distance, config.loss_pixels)
    centers, prior = (torch.from_numpy(a).to(device) for a in (run.centers, run.prior))
    return ColorObjective(
        network, device, _classification_loss(config, centers, prior), config.loss_pixels
    )


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


def _share_of_photographs(pictures: Sequence[Picture], config: TrainConfig) -> float:
    share = sum(p.is_one_of(config.photographs) for p in pictures) / len(pictures)
    if not 0 < share < 1:
        raise NoInputsError(
            f"{share:.0%} of the pictures are photographs by their names",
            "the gate needs photographs and other pictures: change `photographs` in the config",
        )
    return share
