"""FruitNet, a small convolutional encoder and decoder.

References
----------
[Ljung] Ljung, Johansson: Colorization of gray images, Chalmers SSY340, figure 2.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from recolor_cli.training.networks.base import AbNetwork

AB_RANGE = 255.0  # ab units for an output of 1; in [Ljung]'s code: (ab + 128) / 255
AB_OFFSET = 128.0


def convolution_norm(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Return 3x3 convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class FruitNet(AbNetwork):
    """From L* to ab at the same resolution."""

    input_multiple = 4  # px
    output_stride = 1  # px

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            convolution_norm(1, 32),
            convolution_norm(32, 64, stride=2),
            convolution_norm(64, 128),
            convolution_norm(128, 64, stride=2),
            convolution_norm(64, 64),
            nn.Upsample(scale_factor=2),
            convolution_norm(64, 64),
            convolution_norm(64, 32),
            nn.Upsample(scale_factor=2),
            convolution_norm(32, 32),
            nn.Conv2d(32, 2, 3, padding=1),
        )

    def forward(self, lightness: Tensor) -> Tensor:
        """Return ab (N, 2, H, W), CIELAB units, for L* (N, 1, H, W), 0..100."""
        answer = cast(Tensor, self.layers(lightness / 100))
        return answer.float() * AB_RANGE - AB_OFFSET
