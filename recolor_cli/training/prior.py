"""Measure the classes of a run and their frequencies in its pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from recolor_cli.color.ab_bins import AbBins
from recolor_cli.errors import InputError
from recolor_cli.evaluation.pictures import Picture
from recolor_cli.training.config import TrainConfig
from recolor_cli.training.data import make_sample
from recolor_cli.training.losses import soft_encode
from recolor_cli.training.networks.base import ColorModule, LogitsNetwork
from recolor_cli.training.picture_order import PictureOrder
from recolor_cli.training.yuv import uv_grid
from recolor_cli.types import ColorSpace, FloatArray

_MAX_PICTURES = 3000  # enough for the frequency of all but the rarest bins
_MAX_PIXELS = 1000  # of each picture; neighbours are similar


def measure_classes(
    pictures: Sequence[Picture], config: TrainConfig, network: ColorModule
) -> tuple[FloatArray, FloatArray]:
    """Return the bins of a run and their frequencies in its samples; none for regression.

    Returns
    -------
    centers : float32 array, shape (Q, 2)
        In ab all bins that sRGB reaches, CIELAB units; in UV the most frequent bins.
    prior : float32 array, shape (Q,)
        Sums to 1. A color counts for its nearest bin, as in the loss.
    """
    if not isinstance(network, LogitsNetwork):
        return np.empty((0, 2), np.float32), np.empty(0, np.float32)
    colors = _sample_colors(pictures, config, network)
    if network.space is ColorSpace.LAB:
        centers = AbBins.srgb().centers
    else:
        grid = uv_grid()
        frequent = np.argsort(-_frequency(colors, grid), kind="stable")[: config.uv_bins]
        centers = grid[np.sort(frequent)]
    return centers, _frequency(colors, centers)


def _sample_colors(
    pictures: Sequence[Picture], config: TrainConfig, network: ColorModule
) -> list[FloatArray]:
    """Return the colors (P, 2) of random pixels of the first pictures that the run draws."""
    random = np.random.default_rng((config.seed, 2))
    order = PictureOrder(pictures, config)
    colors = []
    for number in range(min(len(pictures), _MAX_PICTURES)):
        picture = pictures[order.picture_of(number)]
        try:
            sample = make_sample(picture, config, network.output_stride, number, network.space)
        except InputError:  # the run warns of it, and leaves it out as well
            continue
        pixels = sample.color[sample.inside]
        colors.append(pixels[random.permutation(len(pixels))[:_MAX_PIXELS]])
    if not colors:
        raise InputError("no picture can be read", "name other pictures")
    return colors


def _frequency(colors: Sequence[FloatArray], centers: FloatArray) -> FloatArray:
    """Return the share of colors that are nearest to each center: float32 (Q,), sums to 1."""
    counts = np.zeros(len(centers), np.int64)
    for pixels in colors:
        index, _ = soft_encode(torch.from_numpy(pixels), torch.from_numpy(centers), 1, 1.0)
        counts += np.bincount(index[:, 0].numpy(), minlength=len(centers))
    frequency: FloatArray = (counts / counts.sum()).astype(np.float32)
    return frequency
