"""What stays of a picture's own color, and where: a part of it all over, colored parts, a mask."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor_cli.color.gamut import clip_chroma
from recolor_cli.color.gray_detection import grayness
from recolor_cli.color.lab import lab_to_rgb16, lab_to_rgb_cv2, rgb_to_lab
from recolor_cli.errors import InputError
from recolor_cli.types import AnyRgbImage, FloatArray

_SAME_SHAPE = 0.02  # how much a mask's ratio of sides may differ from the picture's


@dataclass(frozen=True, slots=True)
class BlendMask:
    """How much of the new color each pixel of a picture gets.

    Parameters
    ----------
    new : float
        Share of the new color, 0..1, where there is all of it.
    weights : uint8 array, shape (H, W), or None
        Where that is: 255 there, 0 where the picture stays as it is. None is everywhere.
    """

    new: float
    weights: NDArray[np.uint8] | None = field(repr=False)

    @classmethod
    def of(
        cls,
        rgb: AnyRgbImage,
        keep_original: float = 0.0,
        only_gray: bool = False,
        mask: NDArray[np.uint8] | None = None,
    ) -> Self | None:
        """Return what of a picture is to stay; None if it is nothing.

        Parameters
        ----------
        rgb : uint8 or uint16 array, shape (H, W, 3), sRGB
        keep_original, only_gray, mask
            As in `guidance.recolor_options.RecolorOptions`.

        Raises
        ------
        InputError
            If the mask has another shape than the picture.
        """
        weights = None
        if mask is not None:
            weights = _fitted(mask, rgb)
        if only_gray:
            gray = grayness(rgb).weights(rgb)
            if weights is not None:
                gray = np.asarray(cv2.multiply(weights, gray, scale=1 / 255), np.uint8)
            weights = gray
        if weights is None and keep_original == 0:
            return None
        return cls(1 - keep_original, weights)

    def keep(self, rgb: AnyRgbImage, painted: AnyRgbImage, start: int) -> AnyRgbImage:
        """Put some rows' own color back.

        Parameters
        ----------
        rgb, painted : uint8 or uint16 arrays, shape (rows, W, 3), sRGB
            Before and after they were recolored.
        start : int
            Which row of the picture the first of them is.

        Returns
        -------
        array of the same shape and dtype
            ab between the two, with the lightness of `rgb`; where nothing is new, `rgb` itself.
        """
        share: FloatArray = np.array(self.new, np.float32)
        if self.weights is not None:
            rows = self.weights[start : start + len(rgb)]
            if not rows.any():
                return rgb
            if self.new == 1 and rows.min() == 255:
                return painted
            share = np.divide(rows, 255, dtype=np.float32)[..., None] * share  # 255 is exactly 1
        own = rgb_to_lab(rgb)
        lightness = np.ascontiguousarray(own[..., 0])
        color = own[..., 1:] + (rgb_to_lab(painted)[..., 1:] - own[..., 1:]) * share
        to_rgb = lab_to_rgb16 if rgb.dtype == np.uint16 else lab_to_rgb_cv2
        between = to_rgb(lightness, clip_chroma(lightness, color))
        # There and back is not exact in 8 bits; what is to stay does.
        return np.where(share == 0, rgb, np.where(share == 1, painted, between))


def _fitted(mask: NDArray[np.uint8], rgb: AnyRgbImage) -> NDArray[np.uint8]:
    """Enlarge or reduce a mask to a picture of its shape."""
    (height, width), (mask_height, mask_width) = rgb.shape[:2], mask.shape
    if (height, width) == (mask_height, mask_width):
        return mask
    ratio = (width * mask_height) / (height * mask_width)
    if abs(ratio - 1) > _SAME_SHAPE:
        raise InputError(
            f"the mask, {mask_width}x{mask_height}, has another shape than the picture, "
            f"{width}x{height}",
            "draw it over a copy of this picture, of any size",
        )
    way = cv2.INTER_AREA if mask_width > width else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(mask, (width, height), interpolation=way), np.uint8)
