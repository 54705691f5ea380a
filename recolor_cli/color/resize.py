"""Sizes of pictures and masks: shrink a picture, resize a mask, compare shapes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor_cli.errors import InputError
from recolor_cli.types import AnyRgbImage, FloatArray, ImageSize

_MAX_ASPECT_DEVIATION = 0.02  # relative difference of aspect ratios that still counts as one shape


def shrunk_size(size: ImageSize, longest: int, shortest: int = 1) -> ImageSize:
    """Return the size of a picture after `shrink_to_side`."""
    scale = min(1.0, longest / max(size.height, size.width))
    return ImageSize(
        height=max(shortest, round(size.height * scale)),
        width=max(shortest, round(size.width * scale)),
    )


def shrink_to_side(rgb: AnyRgbImage, longest: int, shortest: int = 1) -> AnyRgbImage:
    """Shrink a picture by area averaging until its longest side fits; never enlarge it.

    Parameters
    ----------
    rgb : uint8 or uint16 array, shape (H, W, 3)
    longest : int
        Longest side of the result, px, at most.
    shortest : int
        Shortest side of the result, px, at least; very narrow pictures change their shape for it.

    Returns
    -------
    array of the same dtype
        Always a new array.
    """
    size = shrunk_size(ImageSize(*rgb.shape[:2]), longest, shortest)
    return np.asarray(cv2.resize(rgb, (size.width, size.height), interpolation=cv2.INTER_AREA))


def resize_mask(mask: NDArray[np.uint8], size: ImageSize) -> NDArray[np.uint8]:
    """Resize a mask, (h, w), by area averaging if it becomes narrower, else bilinearly."""
    if mask.shape == (size.height, size.width):
        return mask
    interpolation = cv2.INTER_AREA if mask.shape[1] > size.width else cv2.INTER_LINEAR
    resized = cv2.resize(mask, (size.width, size.height), interpolation=interpolation)
    return np.asarray(resized, np.uint8)


def check_mask_fit(mask: NDArray[np.uint8], picture: ImageSize, of_film: bool = False) -> None:
    """Raise InputError if a mask, (h, w), has another shape than its picture or film."""
    check_same_aspect("the mask", ImageSize(*mask.shape), picture, of_film)


def check_ab_fit(ab: FloatArray, canvas: ImageSize) -> None:
    """Raise InputError unless ab is a finite array (h, w, 2) with the aspect ratio of a canvas."""
    height, width = canvas.height, canvas.width
    problem = ""
    if ab.ndim != 3 or ab.shape[2] != 2 or not ab.size:
        problem = f"has the shape {ab.shape}, not (h, w, 2)"
    # A coarse side is rounded to whole pixels.
    elif abs(ab.shape[0] * width - ab.shape[1] * height) >= max(height, width):
        problem = f"of shape {ab.shape} is of a picture of another shape"
    elif not np.isfinite(ab).all():
        problem = "is not finite"
    if problem:
        raise InputError(f"ab {problem}", "give what `predict` returned for this picture")


def check_same_aspect(
    name: str, size: ImageSize, picture: ImageSize, of_film: bool = False
) -> None:
    """Check that an overlay, such as a mask, has the shape of its picture or film, at any size.

    Raises
    ------
    InputError
        If the aspect ratios differ by more than 2 %. Its message calls the overlay `name`.
    """
    ratio = (picture.width * size.height) / (picture.height * size.width)
    if abs(ratio - 1) > _MAX_ASPECT_DEVIATION:
        whole, copy = ("film", "a frame") if of_film else ("picture", "a copy")
        raise InputError(
            f"{name}, {size}, has another shape than the {whole}, {picture}",
            f"draw it over {copy} of this {whole}, of any size",
        )
