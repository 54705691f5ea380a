"""Convert between CIELAB and sRGB in torch, so that the conversions can be traced into a graph.

`lab_to_rgb_cie` and `rgb_to_lab_cie` of `recolor_cli.color.lab` compute the same in numpy.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from recolor_cli.color.lab import LINEAR_RGB_TO_XYZ

_KNEE = 6 / 29  # where CIELAB's cube root becomes linear

# `where` computes both branches. `clamp` keeps the unused powers, and their gradients, finite.


def lightness_to_gray(lightness: Tensor) -> Tensor:
    """Return the sRGB value, 0..1, of the gray that has this L*, 0..100; any shape."""
    f = (lightness.clamp(0, 100) + 16) / 116
    linear = torch.where(f > _KNEE, f**3, 3 * _KNEE**2 * (f - 4 / 29))
    encoded = 1.055 * linear.clamp(min=1e-4) ** (1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, encoded, 12.92 * linear).clamp(0, 1)


def rgb_to_ab(rgb: Tensor) -> Tensor:
    """Return ab (N, 2, h, w), CIELAB units, of sRGB (N, 3, h, w), 0..1."""
    linear = torch.where(rgb > 0.04045, ((rgb.clamp(min=0.04) + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    xyz = functional.conv2d(
        linear, torch.from_numpy(LINEAR_RGB_TO_XYZ).to(linear)[:, :, None, None]
    )
    f = torch.where(xyz > _KNEE**3, xyz.clamp(min=1e-3) ** (1 / 3), xyz / (3 * _KNEE**2) + 4 / 29)
    x, y, z = f[:, :1], f[:, 1:2], f[:, 2:]
    return torch.cat((500 * (x - y), 200 * (y - z)), dim=1)
