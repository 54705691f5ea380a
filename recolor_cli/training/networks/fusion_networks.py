"""Encoder-decoders with a semantic branch: two of [Meistrenko], one of [Baldassarre].

References
----------
[Meistrenko] Meistrenko: Automatic recolorization of movie posters, Stanford, figures 1 and 2.
[Baldassarre] Baldassarre, Gonzalez Morin, Rodes-Guirao: Deep koalarization, arXiv 1712.03400.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from recolor_cli.training.networks.base import AbNetwork, LogitsNetwork, initialize_as_keras
from recolor_cli.training.networks.semantics import CLASSES, Fusion, SemanticBranch


def _convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Return convolution, ReLU."""
    return nn.Sequential(_plain_convolution(inputs, outputs, size, stride), nn.ReLU(inplace=True))


def _plain_convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
    """Return a convolution with the initial weights of Keras, with which the papers trained.

    These networks have no norms. With torch's smaller initial weights the picture does not reach
    the output, and for a long time they learn only the mean color.
    """
    convolution = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2)
    initialize_as_keras(convolution)
    return convolution


def _encoder() -> nn.Sequential:
    """Return the eight convolutions of all three: (N, 1, H, W) to (N, 256, H/8, W/8)."""
    widths = (64, 128, 128, 256, 256, 512, 512, 256)
    strides = (2, 1, 2, 1, 2, 1, 1, 1)
    layers, width = [], 1
    for own, stride in zip(widths, strides, strict=True):
        layers.append(_convolution(width, own, stride=stride))
        width = own
    return nn.Sequential(*layers)


class _Trunk(nn.Module):
    """The encoder, with the output of the semantic branch, if there is one, fused in."""

    def __init__(self, semantic: str, probabilities: bool, pretrained: bool, weights: str) -> None:
        super().__init__()
        self.encoder = _encoder()
        self.semantic = (
            SemanticBranch(semantic, probabilities, pretrained, weights) if semantic else None
        )
        self.fusion = Fusion()
        self.width = 256 + (CLASSES if semantic else 0)

    def forward(self, scaled: Tensor, lightness: Tensor) -> Tensor:
        """Return (N, width, H/8, W/8) for the encoder's input and for L* 0..100."""
        features = self.encoder(scaled)
        if self.semantic is None:
            return cast(Tensor, features)
        return cast(Tensor, self.fusion(features, self.semantic(lightness)))


class MeistrenkoClassification(LogitsNetwork):
    """From L* to logits over 394 bins at half the resolution [Meistrenko, figure 2].

    `semantic` is the classifier of the semantic branch, empty for none; `pretrained` and `weights`
    are as for `SemanticBranch`.
    """

    input_multiple = 8  # px
    output_stride = 2  # px

    def __init__(self, semantic: str, classes: int, pretrained: bool, weights: str = "") -> None:
        super().__init__()
        self.trunk = _Trunk(semantic, True, pretrained, weights)
        self.decoder = nn.Sequential(
            _convolution(self.trunk.width, 512, 1),
            _convolution(512, 512),
            nn.Upsample(scale_factor=2),
            _convolution(512, 256),
            nn.Upsample(scale_factor=2),
        )
        self.head = _plain_convolution(256, classes)

    def features(self, lightness: Tensor) -> Tensor:
        """Return (N, 256, H / 2, W / 2) for L* (N, 1, H, W), 0..100, read unscaled."""
        return cast(Tensor, self.decoder(self.trunk(lightness, lightness)))


def _regression_decoder(inputs: int) -> nn.Sequential:
    # The papers end with a doubling by nearest neighbour. Here the recolorizer upsamples.
    return nn.Sequential(
        _convolution(inputs, 256, 1),
        _convolution(256, 128),
        nn.Upsample(scale_factor=2),
        _convolution(128, 64),
        _convolution(64, 64),
        nn.Upsample(scale_factor=2),
        _convolution(64, 32),
        _plain_convolution(32, 2),
        nn.Tanh(),
    )


class MeistrenkoRegression(AbNetwork):
    """From L* to ab at half the resolution [Meistrenko, figure 1]; parameters as above."""

    input_multiple = 8  # px
    output_stride = 2  # px
    fuses_probabilities = True
    ab_scale = 128.0  # ab units for an output of 1

    def __init__(self, semantic: str, pretrained: bool, weights: str = "") -> None:
        super().__init__()
        self.trunk = _Trunk(semantic, self.fuses_probabilities, pretrained, weights)
        self.decoder = _regression_decoder(self.trunk.width)

    def forward(self, lightness: Tensor) -> Tensor:
        """Return ab (N, 2, H / 2, W / 2), CIELAB units, for L* (N, 1, H, W), 0..100."""
        answer = cast(Tensor, self.decoder(self.trunk(self._scale(lightness), lightness)))
        return answer.float() * self.ab_scale  # bfloat16 would have steps of an ab unit

    def _scale(self, lightness: Tensor) -> Tensor:
        """Return the encoder's input: L*, unscaled."""
        return lightness


class Koalarization(MeistrenkoRegression):
    """The same layers, with L* and ab scaled to -1..1 and logits fused in [Baldassarre]."""

    fuses_probabilities = False
    ab_scale = 127.0  # of [Baldassarre]'s code

    def _scale(self, lightness: Tensor) -> Tensor:
        """Return the encoder's input: L* scaled to -1..1."""
        return lightness / 50 - 1
