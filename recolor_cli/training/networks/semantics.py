"""What a picture shows, as one vector: the semantic branch that some networks fuse with their own.

References
----------
Iizuka, Simo-Serra, Ishikawa: Let there be color, SIGGRAPH 2016 (fusion). [Meistrenko],
[Baldassarre] have Inception-ResNet-v2 here.
"""

from __future__ import annotations

from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from recolor_cli.training.networks.efficientnet_unet import efficientnet

CLASSES = 1000  # of ImageNet


class SemanticBranch(nn.Module):
    """A frozen ImageNet classifier that looks at the same gray as the encoder does.

    Parameters
    ----------
    encoder : str
        ``efficientnet-lite0``, ``1`` or ``2``.
    probabilities : bool
        Answer with the softmax of the classes [Meistrenko], or with their logits [Baldassarre].
    pretrained : bool
        Load the ImageNet weights; not needed before a checkpoint is loaded.

    Notes
    -----
    The released code of [Meistrenko] scaled the picture twice on its way to the classifier, which
    then saw nearly the same constant for every picture.
    """

    def __init__(self, encoder: str, probabilities: bool, pretrained: bool) -> None:
        super().__init__()
        self.probabilities = probabilities
        self.classifier = efficientnet(encoder, pretrained)
        for parameter in self.parameters():
            parameter.requires_grad_(False)

    def forward(self, lightness: Tensor) -> Tensor:
        """Return what is thought of the classes, (N, 1000), for L* (N, 1, H, W), 0..100."""
        gray = (lightness * 2.55 - 127) / 128  # as the classifier was trained
        side = self.classifier._global_params.image_size  # px, as the classifier was trained
        small = functional.interpolate(
            gray.expand(-1, 3, -1, -1), size=(side, side), mode="bilinear", align_corners=False
        )
        logits = cast(Tensor, self.classifier(small))
        return torch.softmax(logits, dim=1) if self.probabilities else logits

    def train(self, mode: bool = True) -> Self:
        """Stay as it is: it is not trained."""
        return super().train(False)


class Fusion(nn.Module):
    """Put the vector of the whole picture beside the features of every place in it."""

    def forward(self, features: Tensor, vector: Tensor) -> Tensor:
        """Return (N, C + D, h, w) for features (N, C, h, w) and vectors (N, D)."""
        height, width = features.shape[2:]
        spread = vector[:, :, None, None].expand(-1, -1, height, width)
        return torch.cat((features, spread), dim=1)
