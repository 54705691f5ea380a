"""Build the network that a training config names. Each family of architectures has a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recolor_cli.errors import UsageError

if TYPE_CHECKING:
    from recolor_cli.training.config import TrainConfig
    from recolor_cli.training.networks.base import ColorModule

ARCHITECTURES = (
    "efficientnet_unet",
    "classification",
    "regression",
    "koalarization",
    "fruitnet",
    "film",
    "colorunet",
)


def build_network(config: TrainConfig, classes: int, pretrained: bool) -> ColorModule:
    """Build the network of a config: a `LogitsNetwork` over so many ab bins, or an `AbNetwork`.

    Parameters
    ----------
    pretrained : bool
        Load ImageNet weights where the architecture has them; not needed before a checkpoint is
        loaded.

    Raises
    ------
    UsageError
        If the architecture is unknown, or its ImageNet weights are not installed.
    ModelError
        If the ImageNet weights cannot be read.
    """
    match config.architecture:
        case "efficientnet_unet":
            from recolor_cli.training.networks.efficientnet_unet import EfficientNetUNet

            return EfficientNetUNet(
                config.encoder,
                config.frozen_blocks,
                config.widths,
                config.drop_path,
                config.photo_strength,
                classes,
                pretrained,
            )
        case "classification":
            from recolor_cli.training.networks.fusion_networks import MeistrenkoClassification

            return MeistrenkoClassification(
                config.semantic, classes, pretrained, config.semantic_weights
            )
        case "regression":
            from recolor_cli.training.networks.fusion_networks import MeistrenkoRegression

            return MeistrenkoRegression(config.semantic, pretrained, config.semantic_weights)
        case "koalarization":
            from recolor_cli.training.networks.fusion_networks import Koalarization

            return Koalarization(config.semantic, pretrained, config.semantic_weights)
        case "fruitnet":
            from recolor_cli.training.networks.fruitnet import FruitNet

            return FruitNet()
        case "film":
            from recolor_cli.training.networks.film_net import FilmNet

            return FilmNet()
        case "colorunet":
            from recolor_cli.training.networks.colorunet import ColorUNet

            return ColorUNet(config.uv_bins)
    raise UsageError(
        f"no architecture is called {config.architecture}",
        f"there are: {', '.join(ARCHITECTURES)}",
    )
