"""Blend new color with a picture's own: everywhere, in gray parts only, or by a mask."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor_cli.color.gamut_mapping import clip_chroma
from recolor_cli.color.gray_detection import detect_gray
from recolor_cli.color.lab import lab_to_rgb16_cie, lab_to_rgb_cv2, rgb_to_lab_by_depth
from recolor_cli.color.resize import check_mask_fit, resize_mask
from recolor_cli.types import AnyRgbImage, FloatArray, ImageSize


@dataclass(frozen=True, slots=True)
class BlendMask:
    """The share of new color that each pixel of a picture gets.

    Parameters
    ----------
    new_share : float
        Share of the new color, 0..1, at a weight of 255.
    weights : uint8 array, shape (H, W), or None
        Factor on that share for each pixel: 255 is 1, and 0 keeps the pixel as it is. None is 255
        everywhere.
    """

    new_share: float
    weights: NDArray[np.uint8] | None = field(repr=False)

    @classmethod
    def for_picture(
        cls,
        rgb: AnyRgbImage,
        keep_original: float = 0.0,
        only_gray: bool = False,
        mask: NDArray[np.uint8] | None = None,
    ) -> Self | None:
        """Return the mask for a picture, or None if all of the color is to be new.

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
            picture = ImageSize(*rgb.shape[:2])
            check_mask_fit(mask, picture)
            weights = resize_mask(mask, picture)
        if only_gray:
            gray = detect_gray(rgb).weights(rgb)
            if weights is not None:
                gray = np.asarray(cv2.multiply(weights, gray, scale=1 / 255), np.uint8)
            weights = gray
        if weights is None and keep_original == 0:
            return None
        return cls(1 - keep_original, weights)

    def blend(self, rgb: AnyRgbImage, painted: AnyRgbImage, first_row: int) -> AnyRgbImage:
        """Return some rows with a mean of their old and new color.

        Parameters
        ----------
        rgb, painted : uint8 or uint16 arrays, shape (rows, W, 3), sRGB
            The rows before and after they were recolored.
        first_row : int
            Index of the first of them in the picture.

        Returns
        -------
        array of the same shape and dtype
            The weighted mean of both ab, with the lightness of `rgb`. Pixels without new color are
            those of `rgb` bit for bit, and pixels with nothing else are those of `painted`.
        """
        share: FloatArray = np.array(self.new_share, np.float32)
        if self.weights is not None:
            rows = self.weights[first_row : first_row + len(rgb)]
            if not rows.any():
                return rgb
            if self.new_share == 1 and rows.min() == 255:
                return painted
            share = np.divide(rows, 255, dtype=np.float32)[..., None] * share  # 255 is exactly 1
        own = rgb_to_lab_by_depth(rgb)
        lightness = np.ascontiguousarray(own[..., 0])
        color = own[..., 1:] + (rgb_to_lab_by_depth(painted)[..., 1:] - own[..., 1:]) * share
        to_rgb = lab_to_rgb16_cie if rgb.dtype == np.uint16 else lab_to_rgb_cv2
        between = to_rgb(lightness, clip_chroma(lightness, color))
        # The round trip through Lab is not exact in 8 bits, so unmixed pixels are copied.
        return np.where(share == 0, rgb, np.where(share == 1, painted, between))
