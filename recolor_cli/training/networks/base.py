"""What every classification architecture tells the trainer about itself."""

from __future__ import annotations

from abc import abstractmethod
from typing import cast

from torch import Tensor, nn
from torch.nn import functional


class LogitsNetwork(nn.Module):
    """L* in, logits over the ab bins out.

    Attributes
    ----------
    input_multiple : int
        Height and width of the input must be multiples of this, px.
    output_stride : int
        How coarse the answer is, px of the input.

    head : nn.Conv2d
        From features to logits, a pixel at a time (1x1).
    """

    input_multiple: int
    output_stride: int
    head: nn.Conv2d

    @abstractmethod
    def features(self, lightness: Tensor) -> Tensor:
        """Return (N, C, H / s, W / s) for L* (N, 1, H, W), 0..100; s is `output_stride`."""

    def forward(self, lightness: Tensor) -> Tensor:
        """Return logits (N, Q, H / s, W / s) for L* (N, 1, H, W), 0..100."""
        return cast(Tensor, self.head(self.features(lightness)))

    def logits_at(self, lightness: Tensor, pixels: Tensor) -> Tensor:
        """Return the logits of some pixels only: in training the head is half of the work.

        Parameters
        ----------
        lightness : float tensor, shape (N, 1, H, W), 0..100
        pixels : int64 tensor, shape (P,)
            Numbers of pixels of the answer, in the order n, h, w.

        Returns
        -------
        float tensor, shape (P, Q)
        """
        flat = self.features(lightness).permute(0, 2, 3, 1).flatten(0, 2)  # (N * h * w, C)
        return functional.linear(flat[pixels], self.head.weight.flatten(1), self.head.bias)

    @abstractmethod
    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return the trainable weights that came pretrained: they want a lower learning rate."""
