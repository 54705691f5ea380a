"""The base classes of all architectures, which tell the trainer what it must know."""

from __future__ import annotations

from abc import abstractmethod
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from recolor_cli.types import ColorSpace


class ColorModule(nn.Module):
    """A network from L* to color.

    Attributes
    ----------
    input_multiple : int
        Height and width of the input must be multiples of this, px.
    output_stride : int
        px of the input for each px of the output.
    space : ColorSpace
        Of the training targets.
    square : bool
        Whether pictures are padded to squares at inference, as in training. Less padding is less
        work, but its effect on the color must be measured for each network.
    refined : bool
        Whether the color is refined after the network (`recolor_cli.color.refinement`).
    """

    input_multiple: int
    output_stride: int
    space = ColorSpace.LAB
    square = True
    refined = False

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return the pretrained weights that are trained, at a lower learning rate."""
        return []

    @abstractmethod
    def predict_at(self, lightness: Tensor, pixels: Tensor) -> Tensor:
        """Return the output at some pixels only: logits (P, Q) or ab (P, 2).

        Parameters
        ----------
        lightness : float tensor, shape (N, 1, H, W), 0..100
        pixels : int64 tensor, shape (P,)
            Indices of pixels of the output, in the order n, h, w.
        """


class AbNetwork(ColorModule):
    """A regression network, from L* to ab."""

    @abstractmethod
    def forward(self, lightness: Tensor) -> Tensor:
        """Return ab (N, 2, H / s, W / s), CIELAB units, for L* (N, 1, H, W), 0..100."""

    def predict_at(self, lightness: Tensor, pixels: Tensor) -> Tensor:
        """Return ab (P, 2) at some pixels."""
        return select_pixels(self(lightness), pixels)


class LogitsNetwork(ColorModule):
    """A classification network, from L* to logits over the bins of its color space.

    Attributes
    ----------
    head : nn.Conv2d
        The last layer, from features to logits.
    """

    head: nn.Conv2d

    @abstractmethod
    def features(self, lightness: Tensor) -> Tensor:
        """Return (N, C, H / s, W / s) for L* (N, 1, H, W), 0..100; s is `output_stride`."""

    def forward(self, lightness: Tensor) -> Tensor:
        """Return logits (N, Q, H / s, W / s) for L* (N, 1, H, W), 0..100."""
        return cast(Tensor, self.head(self.features(lightness)))

    def logits_and_strength(self, lightness: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the logits, and a factor (N, 1, 1, 1) on each picture's color or None."""
        return self(lightness), None

    def predict_at(self, lightness: Tensor, pixels: Tensor) -> Tensor:
        """Return logits (P, Q) at some pixels; a wide head computes them there alone."""
        features = self.features(lightness)
        side = self.head.kernel_size[0]  # px
        height, width = features.shape[2:]
        reach = side // 2
        padded = functional.pad(features, (reach, reach, reach, reach))
        picture, place = pixels // (height * width), pixels % (height * width)
        row, column = place // width, place % width
        corner = (picture * (height + 2 * reach) + row) * (width + 2 * reach) + column
        around = [
            select_pixels(padded, corner + y * (width + 2 * reach) + x)
            for y in range(side)
            for x in range(side)
        ]
        weight = self.head.weight.permute(0, 2, 3, 1).flatten(1)  # in the order of `around`
        return functional.linear(torch.cat(around, dim=1), weight, self.head.bias)


def initialize_as_keras(convolution: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """Set the initial weights that Keras and TensorFlow use: Xavier's, with zero bias."""
    nn.init.xavier_uniform_(convolution.weight)
    nn.init.zeros_(cast(Tensor, convolution.bias))


def select_pixels(planes: Tensor, pixels: Tensor) -> Tensor:
    """Return (P, C) of planes (N, C, h, w) at pixel indices in the order n, h, w."""
    return planes.permute(0, 2, 3, 1).flatten(0, 2)[pixels]
