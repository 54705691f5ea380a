"""The encoder-decoders with a semantic branch: of [Meistrenko], two, and of [Baldassarre].

References
----------
[Meistrenko] Meistrenko: Automatic recolorization of movie posters, Stanford, figures 1 and 2.
[Baldassarre] Baldassarre, Gonzalez Morin, Rodes-Guirao: Deep koalarization, arXiv 1712.03400.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from recolor_cli.training.networks.base import AbNetwork, LogitsNetwork, start_as_keras
from recolor_cli.training.networks.semantics import CLASSES, Fusion, SemanticBranch


def _convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Return convolution, ReLU."""
    return nn.Sequential(_plain_convolution(inputs, outputs, size, stride), nn.ReLU(inplace=True))


def _plain_convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
    """Return a convolution that starts as Keras starts them, in which these networks were made.

    There is no norm in them: from torch's smaller weights nothing of the picture reaches the
    answer, and they learn no more than the mean color for a long time.
    """
    convolution = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2)
    start_as_keras(convolution)
    return convolution


def _encoder() -> nn.Sequential:
    """Return the eight convolutions that all three share: (N, 1, H, W) to (N, 256, H/8, W/8)."""
    widths = (64, 128, 128, 256, 256, 512, 512, 256)
    strides = (2, 1, 2, 1, 2, 1, 1, 1)
    layers, width = [], 1
    for own, stride in zip(widths, strides, strict=True):
        layers.append(_convolution(width, own, stride=stride))
        width = own
    return nn.Sequential(*layers)


class _Semantic(nn.Module):
    """The encoder, and the semantic branch where there is one."""

    def __init__(self, semantic: str, probabilities: bool, pretrained: bool, weights: str) -> None:
        super().__init__()
        self.encoder = _encoder()
        self.semantic = (
            SemanticBranch(semantic, probabilities, pretrained, weights) if semantic else None
        )
        self.fusion = Fusion()
        self.width = 256 + (CLASSES if semantic else 0)

    def forward(self, scaled: Tensor, lightness: Tensor) -> Tensor:
        """Return (N, width, H/8, W/8): scaled is what the encoder reads, lightness L* 0..100."""
        features = self.encoder(scaled)
        if self.semantic is None:
            return cast(Tensor, features)
        return cast(Tensor, self.fusion(features, self.semantic(lightness)))


class MeistrenkoClassification(LogitsNetwork):
    """L* in, logits over 394 bins at half the resolution out [Meistrenko, figure 2].

    Parameters
    ----------
    semantic : str
        Classifier of the semantic branch; empty for none.
    classes : int
        Channels of the answer.
    pretrained : bool
        Load the semantic branch's weights.
    weights : str
        The file of them, where they do not come along.
    """

    input_multiple = 8  # px
    output_stride = 2  # px

    def __init__(self, semantic: str, classes: int, pretrained: bool, weights: str = "") -> None:
        super().__init__()
        self.trunk = _Semantic(semantic, True, pretrained, weights)
        self.decoder = nn.Sequential(
            _convolution(self.trunk.width, 512, 1),
            _convolution(512, 512),
            nn.Upsample(scale_factor=2),
            _convolution(512, 256),
            nn.Upsample(scale_factor=2),
        )
        self.head = _plain_convolution(256, classes)

    def features(self, lightness: Tensor) -> Tensor:
        """Return (N, 256, H / 2, W / 2) for L* (N, 1, H, W), 0..100, read as it is."""
        return cast(Tensor, self.decoder(self.trunk(lightness, lightness)))


def _regression_decoder(inputs: int) -> nn.Sequential:
    # The last doubling of the papers, by nearest neighbour, says nothing and is left to the run.
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
    """L* in, ab at half the resolution out [Meistrenko, figure 1]; parameters as above."""

    input_multiple = 8  # px
    output_stride = 2  # px
    fuses_probabilities = True
    ab_scale = 128.0  # ab units of an answer of 1

    def __init__(self, semantic: str, pretrained: bool, weights: str = "") -> None:
        super().__init__()
        self.trunk = _Semantic(semantic, self.fuses_probabilities, pretrained, weights)
        self.decoder = _regression_decoder(self.trunk.width)

    def forward(self, lightness: Tensor) -> Tensor:
        """Return ab (N, 2, H / 2, W / 2), CIELAB units, for L* (N, 1, H, W), 0..100."""
        answer = cast(Tensor, self.decoder(self.trunk(self._scaled(lightness), lightness)))
        return answer.float() * self.ab_scale  # in half precision that would be steps of an ab unit

    def _scaled(self, lightness: Tensor) -> Tensor:
        """Return what the encoder reads: L* as it is."""
        return lightness


class Koalarization(MeistrenkoRegression):
    """The same family, L* and ab scaled to -1..1, fused with logits [Baldassarre]."""

    fuses_probabilities = False
    ab_scale = 127.0  # [Baldassarre], code

    def _scaled(self, lightness: Tensor) -> Tensor:
        """Return what the encoder reads: L* scaled to -1..1."""
        return lightness / 50 - 1
