"""The properties of a film, as its header and its first frame declare them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from recolor_cli.types import ImageSize
from recolor_cli.video.side_data import Hdr10Metadata

_BOTTOM_FIRST = (3, 5)  # AVFieldOrder


@dataclass(frozen=True, slots=True)
class FilmInfo:
    """Properties of a film that are known before its frames are read. None is undeclared."""

    size: ImageSize  # of a stored frame, px
    pixel_format: str  # FFmpeg's name
    time_base: Fraction  # seconds per tick
    rate: Fraction  # mean frames per second
    frames: int | None  # number according to the file, which may be wrong
    start: float  # time of the first frame, s
    pixel_aspect: Fraction | None  # width of a pixel over its height
    matrix: tuple[int, ...] | None  # FFmpeg's display matrix: rotation and mirroring
    rotation: int  # degrees counterclockwise by which a player rotates the film
    interlaced: bool
    field_order: int  # AVFieldOrder
    colors: tuple[int, int, int, int]  # primaries, transfer, matrix [H.273], AVColorRange
    codec: str  # FFmpeg's name
    hdr10: Hdr10Metadata

    @property
    def displayed(self) -> ImageSize:
        """Size of a frame as a player displays it, upright and with square pixels."""
        width = max(1, round(self.size.width * float(self.pixel_aspect or 1)))
        is_upright = round(self.rotation / 90) % 2 == 0
        sides = (self.size.height, width) if is_upright else (width, self.size.height)
        return ImageSize(*sides)

    @property
    def top_first(self) -> bool:
        """Whether the top field of interlaced film comes first."""
        return self.field_order not in _BOTTOM_FIRST
