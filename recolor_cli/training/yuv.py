"""YUV, in which [Billaut] sorts colors: pictures to UV and its bins, and back to ab.

References
----------
[Billaut] Billaut, de Rochemonteix, Thibault: ColorUNet, arXiv 1811.03120. ITU-R BT.601: Y' is the
luma of gamma-encoded RGB, U = 0.492 (B - Y'), V = 0.877 (R - Y'), here with R, G, B in 0..1.
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
import torch
from torch import Tensor

from recolor_cli.types import FloatArray, RgbImage

GRID = 10  # cells a side
_U_REACH, _V_REACH = 0.45, 0.65  # of the grid, on either side of gray; sRGB reaches .436 and .615

_LUMA = (0.299, 0.587, 0.114)
_U_SCALE, _V_SCALE = 0.492, 0.877
_RGB_TO_XYZ = (  # linear sRGB, D65; each row over its sum, so that a gray has no ab at all
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_KNEE = 6 / 29  # of CIELAB's cube root


def uv_grid() -> FloatArray:
    """Return the middles of all cells: float32 (100, 2), U-major, then V. None is gray itself."""
    u, v = ((np.arange(GRID) + 0.5) * (2 * reach / GRID) - reach for reach in (_U_REACH, _V_REACH))
    return np.stack(np.meshgrid(u, v, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.float32)


def rgb_to_uv(rgb: RgbImage) -> FloatArray:
    """Return U and V, float32 (H, W, 2), about -.436...436 and -.615...615, of sRGB (H, W, 3)."""
    yuv = cv2.cvtColor(np.multiply(rgb, 1 / 255, dtype=np.float32), cv2.COLOR_RGB2YUV)
    return cast(FloatArray, yuv[..., 1:] - np.float32(0.5))  # OpenCV adds it


def luma_of(lightness: Tensor) -> Tensor:
    """Return Y', 0..1, of the gray that has this L*, 0..100; any shape."""
    f = (lightness.clamp(0, 100) + 16) / 116
    linear = torch.where(f > _KNEE, f**3, 3 * _KNEE**2 * (f - 4 / 29))
    encoded = 1.055 * linear.clamp(min=1e-4) ** (1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, encoded, 12.92 * linear).clamp(0, 1)


def uv_to_ab(lightness: Tensor, uv: Tensor) -> Tensor:
    """Return the ab that a color of this UV has where its gray has this L*.

    Parameters
    ----------
    lightness : float tensor, shape (N, 1, h, w), 0..100
    uv : float tensor, shape (N, 2, h, w)
        What sRGB cannot show at that luma is moved towards gray as far as it must: the hue stays.

    Returns
    -------
    float tensor, shape (N, 2, h, w), CIELAB units

    Notes
    -----
    The luma is taken from the gray, as a colorizer in YUV has no other. That of a saturated color
    lies below its gray's: over 300 pictures that moved ab by 0.3 on average and 1.2 at the 95th
    percentile, where sorting into the bins moved it by 9.7.
    """
    luma = luma_of(lightness)
    u, v = uv[:, :1], uv[:, 1:]
    blue, red = u / _U_SCALE, v / _V_SCALE
    green = -(_LUMA[0] * red + _LUMA[2] * blue) / _LUMA[1]
    color = torch.cat((red, green, blue), dim=1)  # RGB less its luma
    room = torch.where(color > 0, 1 - luma, luma) / color.abs().clamp(min=1e-6)
    rgb = luma + color * room.amin(dim=1, keepdim=True).clamp(max=1)

    linear = torch.where(rgb > 0.04045, ((rgb.clamp(min=0.04) + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    matrix = torch.tensor(_RGB_TO_XYZ)
    matrix = (matrix / matrix.sum(dim=1, keepdim=True)).to(linear)
    xyz = torch.nn.functional.conv2d(linear, matrix[:, :, None, None])
    f = torch.where(xyz > _KNEE**3, xyz.clamp(min=1e-3) ** (1 / 3), xyz / (3 * _KNEE**2) + 4 / 29)
    x, y, z = f[:, :1], f[:, 1:2], f[:, 2:]
    return torch.cat((500 * (x - y), 200 * (y - z)), dim=1)
