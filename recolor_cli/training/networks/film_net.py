"""ColorizationNet: the first half of a ResNet-18 on one channel, and an upsampling decoder.

The weights have the names of the published state dicts.

References
----------
[Ljung] Ljung, Johansson: Colorization of gray images, Chalmers SSY340, and its released code.
He, Zhang, Ren, Sun: Deep residual learning for image recognition, CVPR 2016 (ResNet-18).
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from recolor_cli.training.networks.base import AbNetwork
from recolor_cli.training.networks.fruitnet import AB_OFFSET, AB_RANGE


class _BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, with the names of torchvision."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return cast(Tensor, self.relu(x + shortcut))


class FilmNet(AbNetwork):
    """From L* to ab at half the resolution."""

    input_multiple = 8  # px
    output_stride = 2  # px

    def __init__(self) -> None:
        super().__init__()
        self.midlevel_resnet = nn.Sequential(
            nn.Conv2d(1, 64, 7, 2, padding=3, bias=False),  # RGB's kernel, summed
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, padding=1),
            nn.Sequential(_BasicBlock(64, 64, 1), _BasicBlock(64, 64, 1)),
            nn.Sequential(_BasicBlock(64, 128, 2), _BasicBlock(128, 128, 1)),
        )
        # The published module doubles the resolution once more; here the recolorizer upsamples.
        self.upsample = nn.Sequential(
            nn.Conv2d(128, 128, 3, padding=1),
            nn.BatchNorm2d(128),
            nn.ReLU(inplace=True),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(128, 64, 3, padding=1),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(64, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 2, 3, padding=1),
        )

    def forward(self, lightness: Tensor) -> Tensor:
        """Return ab (N, 2, H / 2, W / 2), CIELAB units, for L* (N, 1, H, W), 0..100."""
        answer = self.upsample(self.midlevel_resnet(lightness / 100))
        return cast(Tensor, answer).float() * AB_RANGE - AB_OFFSET
