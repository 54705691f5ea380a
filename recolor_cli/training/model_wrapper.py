"""A network with the inputs and outputs of a model file, and the manifest of that file."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from recolor_cli.model.manifest import Manifest
from recolor_cli.training.config import TrainConfig
from recolor_cli.training.data import PAD_LIGHTNESS
from recolor_cli.training.networks.base import ColorModule, LogitsNetwork
from recolor_cli.training.yuv import uv_to_ab
from recolor_cli.types import ColorSpace, FloatArray, ModelKind


class AnnealedNetwork(nn.Module):
    """A classification network, from L* to logits, followed by the annealed mean of its bins."""

    centers: Tensor

    def __init__(self, network: nn.Module, manifest: Manifest) -> None:
        super().__init__()
        self.network = network
        self.space = manifest.space
        self.register_buffer("centers", torch.tensor(manifest.centers))

    def forward(self, lightness: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
        """Return ab (N, 2, h, w), CIELAB units, and logits (N, Q, h, w) for L* (N, 1, H, W)."""
        strength = None
        if isinstance(self.network, LogitsNetwork):
            logits, strength = self.network.logits_and_strength(lightness)
        else:
            logits = self.network(lightness)
        # With the classes last in memory, onnxruntime's softmax takes a tenth of the time.
        probabilities = torch.softmax(logits.permute(0, 2, 3, 1) / temperature, dim=-1)
        mean = (probabilities @ self.centers).permute(0, 3, 1, 2)
        ab = uv_to_ab(lightness, mean) if self.space is ColorSpace.YUV else mean
        return ab if strength is None else ab * strength, logits


class PlainNetwork(nn.Module):
    """A regression network, as a model file has it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, lightness: Tensor) -> Tensor:
        """Return ab (N, 2, h, w), CIELAB units, for L* (N, 1, H, W)."""
        return cast(Tensor, self.network(lightness))


ExportedNetwork = AnnealedNetwork | PlainNetwork


def wrap_for_export(network: nn.Module, manifest: Manifest) -> ExportedNetwork:
    """Give a network the inputs and outputs of the manifest's kind of model."""
    if manifest.kind is ModelKind.CLASSIFICATION:
        return AnnealedNetwork(network, manifest)
    return PlainNetwork(network)


def run_exported(network: ExportedNetwork, lightness: Tensor, temperature: float) -> Tensor:
    """Return ab (N, 2, h, w) for L* (N, 1, H, W). A regression network ignores the temperature."""
    if isinstance(network, AnnealedNetwork):
        return cast(Tensor, network(lightness, torch.tensor(temperature))[0])
    return cast(Tensor, network(lightness))


class TorchColorNetwork:
    """A torch network with the interface of a model file, for validation during training."""

    def __init__(self, network: nn.Module, manifest: Manifest) -> None:
        self.manifest = manifest
        self._torch_device = next(network.parameters()).device
        self._network = wrap_for_export(network, manifest).to(self._torch_device)

    @property
    def device(self) -> str:
        """The device that it runs on."""
        return str(self._torch_device)

    @torch.inference_mode()
    def predict(self, lightness: FloatArray, temperature: float) -> FloatArray:
        """Return ab, float32 (N, 2, h, w), as `ColorNetwork.predict` does."""
        self._network.eval()
        tensor = torch.from_numpy(lightness).to(self._torch_device)
        ab: FloatArray = run_exported(self._network, tensor, temperature).float().cpu().numpy()
        return ab


def make_manifest(
    config: TrainConfig,
    network: ColorModule,
    centers: FloatArray,
    prior: FloatArray,
    training: dict[str, Any],
) -> Manifest:
    """Return the manifest of a model file of this run.

    `centers` (Q, 2) are the bins in the network's color space and `prior` (Q,) their frequencies;
    a regression network has none. `training` holds facts such as the number of samples.
    """
    classifies = isinstance(network, LogitsNetwork)
    return Manifest(
        name=config.name,
        kind=ModelKind.CLASSIFICATION if classifies else ModelKind.REGRESSION,
        size=config.run_size,
        stride=network.input_multiple,
        pad_lightness=PAD_LIGHTNESS,
        temperature=config.temperature,
        strength=config.strength,
        centers=tuple((float(a), float(b)) for a, b in centers) if classifies else (),
        prior=tuple(map(float, prior)) if classifies else (),
        license=config.license,
        data=config.description,
        training=training,
        space=network.space,
        square=network.square,
        refined=network.refined,
    )
