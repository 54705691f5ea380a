"""The semantic branch: a classifier's view of the picture, which some networks fuse in.

References
----------
Iizuka, Simo-Serra, Ishikawa: Let there be color, SIGGRAPH 2016 (fusion). [Meistrenko],
[Baldassarre] use Inception-ResNet-v2.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from recolor_cli.errors import UsageError
from recolor_cli.training.networks import inception_resnet_v2
from recolor_cli.training.networks.efficientnet_unet import ENCODERS, efficientnet
from recolor_cli.training.networks.inception_resnet_v2 import InceptionResNetV2, load_weights

CLASSES = 1000  # of ImageNet


class SemanticBranch(nn.Module):
    """A frozen ImageNet classifier that reads the same gray picture as the encoder.

    Parameters
    ----------
    classifier : str
        ``efficientnet-lite0``, ``1`` or ``2``, or ``inception_resnet_v2``.
    probabilities : bool
        Return the softmax of the classes [Meistrenko], or else their logits [Baldassarre].
    pretrained : bool
        Load the ImageNet weights; not needed before a checkpoint is loaded.
    weights : str
        The file of Inception-ResNet-v2's weights; those of an EfficientNet are a package.

    Notes
    -----
    The released code of [Meistrenko] scales the picture for the classifier twice, so that it sees
    nearly the same constant for every picture. It also makes a different gray for the classifier
    than for the encoder. Here both read L*.
    """

    classifier: nn.Module

    def __init__(
        self, classifier: str, probabilities: bool, pretrained: bool, weights: str = ""
    ) -> None:
        super().__init__()
        self.probabilities = probabilities
        # Input of the classifier: side in px; it reads (level - middle) / reach of levels 0..255.
        if classifier == inception_resnet_v2.NAME:
            self.classifier = _inception_resnet_v2(pretrained, weights)
            self.side, self.middle, self.reach = inception_resnet_v2.SIDE, 127.5, 127.5
        elif classifier in ENCODERS:
            network = efficientnet(classifier, pretrained)
            self.classifier = network
            self.side, self.middle, self.reach = network._global_params.image_size, 127.0, 128.0
        else:
            names = ", ".join((*ENCODERS, inception_resnet_v2.NAME))
            raise UsageError(f"no classifier is called {classifier}", f"there are: {names}")
        for parameter in self.parameters():
            parameter.requires_grad_(False)

    def forward(self, lightness: Tensor) -> Tensor:
        """Return probabilities or logits (N, 1000) for L* (N, 1, H, W), 0..100."""
        gray = (lightness * 2.55 - self.middle) / self.reach
        small = functional.interpolate(
            gray.expand(-1, 3, -1, -1),
            size=(self.side, self.side),
            mode="bilinear",
            align_corners=False,
        )
        logits = cast(Tensor, self.classifier(small))
        return torch.softmax(logits, dim=1) if self.probabilities else logits

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, because the branch is not trained."""
        return super().train(False)


def classifier_of(state: Mapping[str, Tensor]) -> str:
    """Return the name of the classifier in a state dict, as in `TrainConfig.semantic`."""
    prefix = "trunk.semantic.classifier."  # in `fusion_networks`
    if not any(key.startswith(prefix) for key in state):
        return ""
    if any(key.startswith(prefix + "conv2d_1a.") for key in state):
        return inception_resnet_v2.NAME
    return ENCODERS[0]


def _inception_resnet_v2(pretrained: bool, weights: str) -> InceptionResNetV2:
    network = InceptionResNetV2()
    if pretrained:
        if not weights:
            raise UsageError(
                f"the weights of {inception_resnet_v2.NAME} are not installed with recolor",
                "set semantic_weights to a PyTorch state dict or a Keras file of them, "
                "or semantic to efficientnet-lite0",
            )
        load_weights(network, Path(weights).expanduser())
    return network


class Fusion(nn.Module):
    """Append a vector of the whole picture to the features at every pixel."""

    def forward(self, features: Tensor, vector: Tensor) -> Tensor:
        """Return (N, C + D, h, w) for features (N, C, h, w) and vectors (N, D)."""
        height, width = features.shape[2:]
        spread = vector[:, :, None, None].expand(-1, -1, height, width)
        return torch.cat((features, spread), dim=1)
