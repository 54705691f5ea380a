"""ColorUNet, a small U-Net that reads luma and classifies colors into bins of the UV plane.

References
----------
[Billaut] Billaut, de Rochemonteix, Thibault: ColorUNet: A convolutional classification approach to
colorization, arXiv 1811.03120; the widths are those of their code. Ronneberger, Fischer, Brox:
U-Net, MICCAI 2015.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from recolor_cli.training.networks.base import LogitsNetwork, initialize_as_keras
from recolor_cli.training.torch_color import lightness_to_gray
from recolor_cli.types import ColorSpace


class ColorUNet(LogitsNetwork):
    """From L* to logits over UV bins at the same resolution.

    The released code leaves its batch norms in training mode, so that at inference, too, they
    normalise with the statistics of the batch. Here they use those of the training.
    """

    input_multiple = 8  # px
    output_stride = 1  # px
    space = ColorSpace.YUV

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            (_down_cell(1, 16), _down_cell(16, 32), _down_cell(32, 64))  # to strides 2, 4, 8
        )
        self.up = nn.ModuleList(
            (
                nn.Sequential(*_up(64, 32), *_same(32, 32), *_same(32, 32), nn.BatchNorm2d(32)),
                nn.Sequential(*_up(64, 16), *_same(16, 32), *_same(32, 32), nn.BatchNorm2d(32)),
                nn.Sequential(*_up(48, 16), *_same(16, 16)),
            )
        )
        self.head = nn.Conv2d(16, classes, kernel_size=1)
        for module in self.modules():  # as in the released code
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                initialize_as_keras(module)

    def features(self, lightness: Tensor) -> Tensor:
        """Return (N, 16, H, W) for L* (N, 1, H, W), 0..100."""
        half = self.down[0](lightness_to_gray(lightness))
        quarter = self.down[1](half)
        x = self.up[0](self.down[2](quarter))
        x = self.up[1](torch.cat((x, quarter), dim=1))
        return cast(Tensor, self.up[2](torch.cat((x, half), dim=1)))


def _same(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]


def _up(inputs: int, outputs: int) -> list[nn.Module]:
    up = nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)
    return [up, nn.ReLU(inplace=True)]


def _down_cell(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        *_same(inputs, outputs), *_same(outputs, outputs), nn.MaxPool2d(2), nn.BatchNorm2d(outputs)
    )
