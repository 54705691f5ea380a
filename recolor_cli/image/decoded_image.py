"""A picture in memory: upright, in sRGB, with what its result must carry."""

from __future__ import annotations

from dataclasses import dataclass, field

from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.metadata import Metadata
from recolor_cli.types import AnyPlanes, AnyRgbImage, ImageSize


@dataclass(frozen=True, slots=True)
class Animation:
    """The number of frames of an animation, and how often it is shown.

    Parameters
    ----------
    frames : int
        Their number, with a hidden one.
    loops : int or None
        Number of times that they are shown, 0 for ever; None if the file does not say.
    """

    frames: int
    loops: int | None


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """A page or frame, upright and in sRGB.

    Parameters
    ----------
    rgb : uint8 or uint16 array, shape (H, W, 3)
        Gray and palette pictures are expanded.
    alpha : array of the same dtype, shape (H, W), or None
        Opacity.
    format : ImageFormat
        Of the file.
    metadata : Metadata
    warnings : tuple of str
        What could not be kept of the file.
    profile : bytes
        The file's color profile, if it is not sRGB.
    lossless : bool
        Whether it was a lossless WebP.
    pages : int
        How many pages the result has.
    animation : Animation or None
        Of the file, if this is one of its frames.
    milliseconds : float
        How long the frame is shown.
    damage : str
        What of it is missing or wrong, if it was decoded all the same; else empty.
    is_hidden : bool
        Whether only programs that show no animations show it.
    """

    rgb: AnyRgbImage
    alpha: AnyPlanes | None
    format: ImageFormat
    metadata: Metadata = field(default_factory=Metadata)
    warnings: tuple[str, ...] = ()
    profile: bytes = b""
    lossless: bool = False
    pages: int = 1
    animation: Animation | None = None
    milliseconds: float = 0.0
    damage: str = ""
    is_hidden: bool = False

    @property
    def size(self) -> ImageSize:
        """Height and width, px."""
        return ImageSize(self.rgb.shape[0], self.rgb.shape[1])
