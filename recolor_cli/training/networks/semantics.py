"""What a picture shows, as one vector: the semantic branch that some networks fuse with their own.

References
----------
Iizuka, Simo-Serra, Ishikawa: Let there be color, SIGGRAPH 2016 (fusion). [Meistrenko],
[Baldassarre] have Inception-ResNet-v2 here.
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
    """A frozen ImageNet classifier that looks at the same gray as the encoder does.

    Parameters
    ----------
    classifier : str
        ``efficientnet-lite0``, ``1`` or ``2``, or ``inception_resnet_v2``.
    probabilities : bool
        Answer with the softmax of the classes [Meistrenko], or with their logits [Baldassarre].
    pretrained : bool
        Load the ImageNet weights; not needed before a checkpoint is loaded.
    weights : str
        The file that Inception-ResNet-v2's are loaded from; an EfficientNet's come along.

    Raises
    ------
    UsageError
        If there is no such classifier, or its weights are not at hand.
    ModelError
        If its weights cannot be read.

    Notes
    -----
    The released code of [Meistrenko] scaled the picture twice on its way to the classifier, which
    then saw nearly the same constant for every picture. And it made another gray for the classifier
    than for the encoder: here both read L*.
    """

    classifier: nn.Module

    def __init__(
        self, classifier: str, probabilities: bool, pretrained: bool, weights: str = ""
    ) -> None:
        super().__init__()
        self.probabilities = probabilities
        # As they were trained: px, and the level 0..255 that is 0 to them, and what is 1 above it.
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
        """Return what is thought of the classes, (N, 1000), for L* (N, 1, H, W), 0..100."""
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
        """Stay as it is: it is not trained."""
        return super().train(False)


def semantic_of(state: Mapping[str, Tensor]) -> str:
    """Return the classifier in a state dict of a network, as `TrainConfig.semantic` names it."""
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
                f"the weights of {inception_resnet_v2.NAME} do not come along",
                "set semantic_weights to a PyTorch state dict or a Keras file of them, "
                "or semantic to efficientnet-lite0",
            )
        load_weights(network, Path(weights).expanduser())
    return network


class Fusion(nn.Module):
    """Put the vector of the whole picture beside the features of every place in it."""

    def forward(self, features: Tensor, vector: Tensor) -> Tensor:
        """Return (N, C + D, h, w) for features (N, C, h, w) and vectors (N, D)."""
        height, width = features.shape[2:]
        spread = vector[:, :, None, None].expand(-1, -1, height, width)
        return torch.cat((features, spread), dim=1)
