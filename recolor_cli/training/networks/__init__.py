"""The architectures, one file each, by the name that a training config gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recolor_cli.errors import UsageError

if TYPE_CHECKING:
    from recolor_cli.training.config import TrainConfig
    from recolor_cli.training.networks.base import LogitsNetwork

ARCHITECTURES = ("efficientnet_unet",)


def build_network(config: TrainConfig, classes: int, pretrained: bool) -> LogitsNetwork:
    """Make the network of a config.

    Parameters
    ----------
    config : TrainConfig
    classes : int
        Channels of the answer.
    pretrained : bool
        Start from ImageNet weights where the architecture has them; not needed before a
        checkpoint is loaded.

    Returns
    -------
    LogitsNetwork

    Raises
    ------
    UsageError
        If the architecture is unknown.
    """
    if config.architecture != "efficientnet_unet":
        raise UsageError(
            f"no architecture is called {config.architecture}",
            f"there are: {', '.join(ARCHITECTURES)}",
        )
    from recolor_cli.training.networks.efficientnet_unet import EfficientNetUNet

    return EfficientNetUNet(
        config.encoder, config.frozen_blocks, config.widths, config.drop_path, classes, pretrained
    )
