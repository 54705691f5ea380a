"""What every architecture tells the trainer about itself."""

from __future__ import annotations

from abc import abstractmethod
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from recolor_cli.types import ColorSpace


class ColorModule(nn.Module):
    """L* in, color out.

    Attributes
    ----------
    input_multiple : int
        Height and width of the input must be multiples of this, px.
    output_stride : int
        How coarse the answer is, px of the input.
    space : ColorSpace
        Of the colors that it is trained towards.
    square : bool
        Whether pictures are padded to squares when it runs, as in training. Less padding is less
        work, but what a network makes of it must be measured.
    """

    input_multiple: int
    output_stride: int
    space = ColorSpace.LAB
    square = True

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return the trainable weights that came pretrained: they want a lower learning rate."""
        return []


class AbNetwork(ColorModule):
    """A regression network: L* in, ab out."""

    @abstractmethod
    def forward(self, lightness: Tensor) -> Tensor:
        """Return ab (N, 2, H / s, W / s), CIELAB units, for L* (N, 1, H, W), 0..100."""


class LogitsNetwork(ColorModule):
    """A classification network: L* in, logits over the bins of its space out.

    Attributes
    ----------
    head : nn.Conv2d
        From features to logits.
    """

    head: nn.Conv2d

    @abstractmethod
    def features(self, lightness: Tensor) -> Tensor:
        """Return (N, C, H / s, W / s) for L* (N, 1, H, W), 0..100; s is `output_stride`."""

    def forward(self, lightness: Tensor) -> Tensor:
        """Return logits (N, Q, H / s, W / s) for L* (N, 1, H, W), 0..100."""
        return cast(Tensor, self.head(self.features(lightness)))

    def logits_and_strength(self, lightness: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the logits, and a factor (N, 1, 1, 1) on each picture's color if there is one."""
        return self(lightness), None

    def logits_at(self, lightness: Tensor, pixels: Tensor) -> Tensor:
        """Return the logits of some pixels only: in training a wide head is much of the work.

        Parameters
        ----------
        lightness : float tensor, shape (N, 1, H, W), 0..100
        pixels : int64 tensor, shape (P,)
            Numbers of pixels of the answer, in the order n, h, w.

        Returns
        -------
        float tensor, shape (P, Q)
        """
        features = self.features(lightness)
        side = self.head.kernel_size[0]  # px: what the head looks at around each pixel
        height, width = features.shape[2:]
        reach = side // 2
        padded = functional.pad(features, (reach, reach, reach, reach))
        picture, place = pixels // (height * width), pixels % (height * width)
        row, column = place // width, place % width
        corner = (picture * (height + 2 * reach) + row) * (width + 2 * reach) + column
        around = [
            at_pixels(padded, corner + y * (width + 2 * reach) + x)
            for y in range(side)
            for x in range(side)
        ]
        weight = self.head.weight.permute(0, 2, 3, 1).flatten(1)  # in that order
        return functional.linear(torch.cat(around, dim=1), weight, self.head.bias)


def start_as_keras(convolution: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """Give a convolution the first weights that Keras and TensorFlow give: Xavier's, no bias."""
    nn.init.xavier_uniform_(convolution.weight)
    nn.init.zeros_(cast(Tensor, convolution.bias))


def at_pixels(planes: Tensor, pixels: Tensor) -> Tensor:
    """Return (P, C) of planes (N, C, h, w) at pixels numbered in the order n, h, w."""
    return planes.permute(0, 2, 3, 1).flatten(0, 2)[pixels]
