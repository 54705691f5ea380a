"""Pictures as callers of the library give them: arrays of gray or RGB, and pictures of Pillow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from recolor_cli.errors import InputError
from recolor_cli.image.codec import StoredPage, codec_of
from recolor_cli.image.color_profiles import Space
from recolor_cli.image.failures import decoder_errors
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.levels import reduce_to_8_bits
from recolor_cli.image.normalize import expand_gray, normalize
from recolor_cli.image.pillow_codec import pixels_of
from recolor_cli.types import AnyPlanes, AnyRgbImage

Picture = TypeVar("Picture", AnyPlanes, Image.Image)
"""An array or a picture of Pillow's. What `take_picture` takes says which ones."""

_WIDE_GRAY = ("I;16", "I;16L", "I;16B", "I;16N")  # modes of Pillow
_FAX_COMPRESSIONS = ("tiff_ccitt", "group3", "group4")  # of Pillow; they hold no color
_NO_LEVELS = {  # modes of Pillow whose numbers could mean several things
    "I": "32-bit integers: convert it to I;16 or L first",
    "F": "floating-point numbers: convert it to L first",
    "LAB": "CIELAB: convert it to RGB first, by PIL.ImageCms",
}


@dataclass(frozen=True, slots=True)
class GivenPicture:
    """A picture of a caller as sRGB, and what a result of its kind needs.

    Parameters
    ----------
    rgb : uint8 or uint16 array, shape (H, W, 3), C-contiguous
        sRGB. An RGB array that was given is used itself, if its layout allows it.
    original : array or PIL.Image.Image
    alpha : uint8 array, shape (H, W), or None
        Opacity of a picture of Pillow's.
    """

    rgb: AnyRgbImage
    original: Any
    alpha: AnyPlanes | None = None

    def like_original(self, rgb: AnyRgbImage) -> Any:
        """Return new pixels as the kind of picture that was given."""
        if not isinstance(self.original, Image.Image):
            return rgb
        planes = rgb if self.alpha is None else np.dstack((rgb, self.alpha))
        picture = Image.fromarray(planes)
        dropped = ("icc_profile", "transparency")  # the pixels are sRGB; opacity is a channel
        picture.info = {k: v for k, v in self.original.info.items() if k not in dropped}
        if picture.info.get("compression") in _FAX_COMPRESSIONS:
            del picture.info["compression"]
        return picture


def take_picture(picture: object) -> GivenPicture:
    """Convert a picture that a caller gives to sRGB.

    Parameters
    ----------
    picture : array or PIL.Image.Image
        An array is uint8 or uint16 and sRGB: (H, W) or (H, W, 1) for gray, (H, W, 3) for RGB. A
        picture of Pillow's may have any mode but ``I``, ``F`` and ``LAB``, and is converted by its
        color profile; 16 bits become 8. Its orientation stays as it is.

    Raises
    ------
    TypeError
        If it is neither an array nor a picture of Pillow's.
    ValueError
        If it has another shape, dtype or mode.
    InputError
        If it has no pixels, or Pillow cannot decode its file.
    """
    if isinstance(picture, Image.Image):
        return _take_pillow_picture(picture)
    if not isinstance(picture, np.ndarray):
        advice = ""
        if isinstance(picture, (str, bytes)) or hasattr(picture, "__fspath__"):
            advice = "; open the file with PIL.Image.open"
        elif hasattr(picture, "__array__"):
            advice = "; convert it with numpy.asarray"
        raise TypeError(
            f"expected an array or a picture of Pillow's, not {type(picture).__name__}{advice}"
        )
    return GivenPicture(_take_array(picture), picture)


def _take_array(levels: AnyPlanes) -> AnyRgbImage:
    """Return an array as RGB in a layout that OpenCV takes, without a copy where that is so."""
    shape, dtype = levels.shape, levels.dtype.newbyteorder("=")
    if dtype not in (np.uint8, np.uint16):
        advice = ""
        if np.issubdtype(dtype, np.bool_):
            advice = "; multiply it by numpy.uint8(255)"
        elif np.issubdtype(dtype, np.floating):
            advice = "; of 0..1, use (255 * levels).round().astype(numpy.uint8)"
        elif np.issubdtype(dtype, np.integer):
            advice = "; use levels.astype(numpy.uint8) if they lie in 0..255"
        raise ValueError(f"expected an array of uint8 or uint16, not {dtype}{advice}")
    if levels.ndim == 3 and shape[2] == 1:
        levels = levels[..., 0]
    elif levels.ndim == 3 and shape[2] != 3:
        advice = ""
        if shape[2] == 4:
            advice = "; leave opacity out, as in rgba[..., :3]"
        elif shape[0] in (1, 3):
            advice = "; channels come last, as in levels.transpose(1, 2, 0)"
        raise ValueError(f"expected an array (H, W) or (H, W, 3), not {shape}{advice}")
    elif levels.ndim not in (2, 3):
        raise ValueError(f"expected an array (H, W) or (H, W, 3), not {shape}")
    if not levels.size:
        raise InputError("an array without pixels has too few to recolor", "leave it out")
    native = np.ascontiguousarray(levels, dtype)
    return native if native.ndim == 3 else expand_gray(native)


def _take_pillow_picture(picture: Image.Image) -> GivenPicture:
    if reason := _NO_LEVELS.get(picture.mode):
        raise ValueError(f"a picture of mode {picture.mode} has {reason}")
    profile = picture.info.get("icc_profile") or b""
    with decoder_errors():
        picture.load()
        if picture.mode == "La":  # Pillow converts it to nothing else
            picture = picture.convert("LA")
        if picture.mode == "HSV":
            page = StoredPage(np.asarray(picture.convert("RGB")), Space.RGB)
        elif picture.mode in _WIDE_GRAY:
            wide = np.asarray(picture).astype(np.uint16)
            page = StoredPage(reduce_to_8_bits(wide), Space.GRAY, profile=profile)
        else:
            page = StoredPage(*pixels_of(picture, profile), profile=profile)
    png = codec_of(ImageFormat.PNG)  # which leaves nothing out
    decoded = normalize(page, png, png)
    return GivenPicture(np.ascontiguousarray(decoded.rgb), picture, decoded.alpha)
