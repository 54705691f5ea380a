"""What every classification architecture tells the trainer about itself."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn


class LogitsNetwork(nn.Module):
    """L* in, logits over the ab bins out.

    Attributes
    ----------
    input_multiple : int
        Height and width of the input must be multiples of this, px.
    output_stride : int
        How coarse the answer is, px of the input.
    """

    input_multiple: int
    output_stride: int

    @abstractmethod
    def forward(self, lightness: Tensor) -> Tensor:
        """Return logits (N, Q, H / s, W / s) for L* (N, 1, H, W), 0..100; s is `output_stride`."""

    @abstractmethod
    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return the trainable weights that came pretrained: they want a lower learning rate."""
