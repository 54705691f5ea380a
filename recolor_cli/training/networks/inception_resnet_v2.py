"""Inception-ResNet-v2, the classifier of the papers with a semantic branch.

Its ImageNet weights are read from a file of the user. The modules have the names of the usual
PyTorch ports, so that their state dicts fit.

References
----------
Szegedy, Ioffe, Vanhoucke, Alemi: Inception-v4, Inception-ResNet and the impact of residual
connections on learning, AAAI 2017, figure 15; widths and scales as in TensorFlow-Slim, from which
all published weights come.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from recolor_cli.errors import ModelError
from recolor_cli.training.checkpoint import InitialWeights, load_state_dict
from recolor_cli.training.foreign.keras_loading import SUFFIXES, keras_on_cpu, load_keras

NAME = "inception_resnet_v2"
SIDE = 299  # px of the input
CLASSES = 1000
_CLASSIFIERS = ("last_linear.", "classif.")  # prefixes of the last layer in the ports


class InceptionResNetV2(nn.Module):
    """From a picture to logits of the 1000 classes of ImageNet.

    The auxiliary classifier, which only training needs, is left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv2d_1a = _Unit(3, 32, 3, stride=2, padded=False)
        self.conv2d_2a = _Unit(32, 32, 3, padded=False)
        self.conv2d_2b = _Unit(32, 64, 3)
        self.maxpool_3a = nn.MaxPool2d(3, stride=2)
        self.conv2d_3b = _Unit(64, 80)
        self.conv2d_4a = _Unit(80, 192, 3, padded=False)
        self.maxpool_5a = nn.MaxPool2d(3, stride=2)
        self.mixed_5b = _Mixed(
            _Unit(192, 96),
            nn.Sequential(_Unit(192, 48), _Unit(48, 64, 5)),
            nn.Sequential(_Unit(192, 64), _Unit(64, 96, 3), _Unit(96, 96, 3)),
            nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False), _Unit(192, 64)),
        )
        self.repeat = nn.Sequential(*(_block35() for _ in range(10)))
        self.mixed_6a = _Mixed(
            _Unit(320, 384, 3, stride=2, padded=False),
            nn.Sequential(
                _Unit(320, 256), _Unit(256, 256, 3), _Unit(256, 384, 3, stride=2, padded=False)
            ),
            nn.MaxPool2d(3, stride=2),
        )
        self.repeat_1 = nn.Sequential(*(_block17() for _ in range(20)))
        self.mixed_7a = _Mixed(
            nn.Sequential(_Unit(1088, 256), _Unit(256, 384, 3, stride=2, padded=False)),
            nn.Sequential(_Unit(1088, 256), _Unit(256, 288, 3, stride=2, padded=False)),
            nn.Sequential(
                _Unit(1088, 256), _Unit(256, 288, 3), _Unit(288, 320, 3, stride=2, padded=False)
            ),
            nn.MaxPool2d(3, stride=2),
        )
        self.repeat_2 = nn.Sequential(*(_block8(0.2) for _ in range(9)))
        self.block8 = _block8(1.0, activates=False)
        self.conv2d_7b = _Unit(2080, 1536)
        self.last_linear = nn.Linear(1536, CLASSES)

    def forward(self, picture: Tensor) -> Tensor:
        """Return logits (N, 1000) for RGB (N, 3, 299, 299), -1..1."""
        x = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(picture)))
        x = self.conv2d_4a(self.conv2d_3b(self.maxpool_3a(x)))
        x = self.repeat(self.mixed_5b(self.maxpool_5a(x)))
        x = self.repeat_1(self.mixed_6a(x))
        x = self.block8(self.repeat_2(self.mixed_7a(x)))
        return cast(Tensor, self.last_linear(self.conv2d_7b(x).mean(dim=(2, 3))))


class _Unit(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int | tuple[int, int] = 1,
        stride: int = 1,
        padded: bool = True,
    ) -> None:
        super().__init__()
        height, width = (size, size) if isinstance(size, int) else size
        padding = (height // 2, width // 2) if padded else 0
        self.conv = nn.Conv2d(inputs, outputs, (height, width), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(x)))


class _Mixed(nn.Module):
    """Parallel branches, whose channels are concatenated."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self._names = [f"branch{i}" for i in range(len(branches))]
        for name, branch in zip(self._names, branches, strict=True):
            self.add_module(name, branch)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.get_submodule(name)(x) for name in self._names], dim=1)


class _Residual(_Mixed):
    """Parallel branches, whose scaled output is added to the input."""

    def __init__(self, width: int, inside: int, scale: float, *branches: nn.Module) -> None:
        super().__init__(*branches)
        self.conv2d = nn.Conv2d(inside, width, 1)
        self.scale = scale
        self.activates = True

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.scale * self.conv2d(super().forward(x))
        return functional.relu(x) if self.activates else x


def _block35() -> _Residual:
    return _Residual(
        320,
        128,
        0.17,
        _Unit(320, 32),
        nn.Sequential(_Unit(320, 32), _Unit(32, 32, 3)),
        nn.Sequential(_Unit(320, 32), _Unit(32, 48, 3), _Unit(48, 64, 3)),
    )


def _block17() -> _Residual:
    return _Residual(
        1088,
        384,
        0.1,
        _Unit(1088, 192),
        nn.Sequential(_Unit(1088, 128), _Unit(128, 160, (1, 7)), _Unit(160, 192, (7, 1))),
    )


def _block8(scale: float, activates: bool = True) -> _Residual:
    block = _Residual(
        2080,
        448,
        scale,
        _Unit(2080, 192),
        nn.Sequential(_Unit(2080, 192), _Unit(192, 224, (1, 3)), _Unit(224, 256, (3, 1))),
    )
    block.activates = activates
    return block


def load_weights(network: InceptionResNetV2, path: Path) -> None:
    """Load a state dict of a PyTorch port, or weights of `keras.applications.InceptionResNetV2`.

    Keras files end in ``.h5`` or ``.keras``. No code in a file is run. Of 1001 classes the first,
    the background, is dropped.

    Raises
    ------
    ModelError
        If the file is missing, broken, or of another network.
    UsageError
        If it is a Keras file and Keras is not installed.
    """
    if path.suffix.lower() in SUFFIXES:
        weights = _from_keras(network, path)
    else:
        weights = _from_torch(load_state_dict(path))
    InitialWeights(weights, np.empty(0, np.float32), 0, str(path)).load_into(network)


def _from_torch(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the state dict of a port with our names and 1000 classes."""
    weights = {}
    for key, value in state.items():
        for prefix in _CLASSIFIERS:
            if key.startswith(prefix):
                key = _CLASSIFIERS[0] + key.removeprefix(prefix)
                value = value[1:] if len(value) == CLASSES + 1 else value
        weights[key] = value
    return weights


def _from_keras(network: InceptionResNetV2, path: Path) -> dict[str, Tensor]:
    """Return the weights of a Keras file as a state dict. Only arrays are read from the file."""
    if not path.is_file():
        raise ModelError(f"there is no file {path}", "check semantic_weights")
    keras = load_keras()
    with keras_on_cpu(keras):
        model = keras.applications.InceptionResNetV2(weights=None, classifier_activation=None)
        try:
            model.load_weights(path)
        except Exception as error:  # Keras names no common class
            raise ModelError(
                f"{path} holds no weights of keras.applications.InceptionResNetV2: {error}",
                "save them with the classifier (include_top)",
            ) from error

    layers = {layer.name: layer for layer in model.layers if layer.weights}
    units = [name for name, module in network.named_modules() if isinstance(module, _Unit)]
    blocks = [name for name, module in network.named_modules() if isinstance(module, _Residual)]
    # Keras numbers its layers in the order of their making, which is the order here.
    convolutions = [*_numbered(layers, "conv2d"), layers["conv_7b"]]
    norms = [*_numbered(layers, "batch_normalization"), layers["conv_7b_bn"]]
    sums = [layers[f"{kind}_{i + 1}_conv"] for kind, count in _BLOCKS for i in range(count)]
    weights: dict[str, Tensor] = {}
    for name, convolution, norm in zip(units, convolutions, norms, strict=True):
        (kernel,) = convolution.get_weights()
        beta, mean, variance = norm.get_weights()  # gamma is 1 and not stored
        weights |= {
            f"{name}.conv.weight": _to_torch(kernel),
            f"{name}.bn.weight": torch.ones(len(beta)),
            f"{name}.bn.bias": torch.from_numpy(beta),
            f"{name}.bn.running_mean": torch.from_numpy(mean),
            f"{name}.bn.running_var": torch.from_numpy(variance),
        }
    for name, convolution in zip(blocks, sums, strict=True):
        kernel, bias = convolution.get_weights()
        weights |= {
            f"{name}.conv2d.weight": _to_torch(kernel),
            f"{name}.conv2d.bias": torch.from_numpy(bias),
        }
    kernel, bias = layers["predictions"].get_weights()
    weights |= {
        "last_linear.weight": torch.from_numpy(kernel.T.copy()),
        "last_linear.bias": torch.from_numpy(bias),
    }
    return weights


_BLOCKS = (("block35", 10), ("block17", 20), ("block8", 10))  # Keras' names


def _numbered(layers: dict[str, Any], kind: str) -> list[Any]:
    """Return the layers `kind`, `kind_1`, ... in the order of their numbers."""
    found = {name: re.fullmatch(rf"{kind}(?:_(\d+))?", name) for name in layers}
    numbers = {name: int(match[1] or 0) for name, match in found.items() if match}
    return [layers[name] for name in sorted(numbers, key=numbers.__getitem__)]


def _to_torch(kernel: np.ndarray[Any, np.dtype[np.float32]]) -> Tensor:
    """Return (out, in, height, width) of Keras' (height, width, in, out)."""
    return torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
