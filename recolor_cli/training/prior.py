"""Which classes a run has, and how often each occurs in its pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from recolor_cli.color.ab_bins import AbBins
from recolor_cli.evaluation.pictures import Picture
from recolor_cli.training.config import TrainConfig
from recolor_cli.training.data import make_sample
from recolor_cli.training.networks.base import LogitsNetwork
from recolor_cli.training.targets import soft_encode
from recolor_cli.training.yuv import uv_grid
from recolor_cli.types import ColorSpace, FloatArray

_PICTURES = 3000  # enough for the frequency of all but the rarest bins
_PIXELS = 1000  # of a picture; neighbours are alike


def measure_classes(
    pictures: Sequence[Picture], config: TrainConfig, network: LogitsNetwork
) -> tuple[FloatArray, FloatArray]:
    """Return the bins of a run and how often each occurs in its samples.

    Parameters
    ----------
    pictures : sequence of Picture
    config : TrainConfig
    network : LogitsNetwork
        Says in which space the bins lie, and how coarse its answer is.

    Returns
    -------
    centers : float32 array, shape (Q, 2)
        In ab all bins that sRGB reaches, CIELAB units; in UV the most frequent ones.
    prior : float32 array, shape (Q,)
        Sums to 1. A color that lies in no bin counts for the nearest one, as it does in the loss.
    """
    colors = _sample_colors(pictures, config, network)
    if network.space is ColorSpace.LAB:
        centers = AbBins.srgb().centers
    else:
        grid = uv_grid()
        frequent = np.argsort(-_frequency(colors, grid), kind="stable")[: config.uv_bins]
        centers = grid[np.sort(frequent)]
    return centers, _frequency(colors, centers)


def _sample_colors(
    pictures: Sequence[Picture], config: TrainConfig, network: LogitsNetwork
) -> list[FloatArray]:
    """Return (P, 2) for each of some pictures: the color of some pixels of a sample."""
    random = np.random.default_rng((config.seed, 2))
    colors = []
    for number in random.permutation(len(pictures))[:_PICTURES]:
        sample = make_sample(
            pictures[number], config, network.output_stride, int(number), network.space
        )
        _, color, inside = sample
        pixels = color[inside]
        colors.append(pixels[random.permutation(len(pixels))[:_PIXELS]])
    return colors


def _frequency(colors: Sequence[FloatArray], centers: FloatArray) -> FloatArray:
    """Return for how many of the colors each centre is the nearest: float32 (Q,), sum 1."""
    counts = np.zeros(len(centers), np.int64)
    for pixels in colors:
        index, _ = soft_encode(torch.from_numpy(pixels), torch.from_numpy(centers), 1, 1.0)
        counts += np.bincount(index[:, 0].numpy(), minlength=len(centers))
    frequency: FloatArray = (counts / counts.sum()).astype(np.float32)
    return frequency
