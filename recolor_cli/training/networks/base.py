"""What every architecture tells the trainer about itself."""

from __future__ import annotations

from abc import abstractmethod
from typing import cast

from torch import Tensor, nn
from torch.nn import functional


class ColorModule(nn.Module):
    """L* in, color out.

    Attributes
    ----------
    input_multiple : int
        Height and width of the input must be multiples of this, px.
    output_stride : int
        How coarse the answer is, px of the input.
    """

    input_multiple: int
    output_stride: int

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return the trainable weights that came pretrained: they want a lower learning rate."""
        return []


class AbNetwork(ColorModule):
    """A regression network: L* in, ab out."""

    @abstractmethod
    def forward(self, lightness: Tensor) -> Tensor:
        """Return ab (N, 2, H / s, W / s), CIELAB units, for L* (N, 1, H, W), 0..100."""


class LogitsNetwork(ColorModule):
    """A classification network: L* in, logits over the ab bins out.

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
        if self.head.kernel_size != (1, 1):  # it looks at the neighbours: nothing can be left out
            return at_pixels(self(lightness), pixels)
        features = at_pixels(self.features(lightness), pixels)
        return functional.linear(features, self.head.weight.flatten(1), self.head.bias)


def at_pixels(planes: Tensor, pixels: Tensor) -> Tensor:
    """Return (P, C) of planes (N, C, h, w) at pixels numbered in the order n, h, w."""
    return planes.permute(0, 2, 3, 1).flatten(0, 2)[pixels]
