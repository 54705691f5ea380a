"""Read what a decoded frame carries besides its pixels: display matrix and HDR10 metadata."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from av.sidedata.sidedata import Type


def _make_unknown_type(cls: type[Type], value: object) -> Type:
    """Return a member for a type that FFmpeg knows and PyAV's enumeration does not, such as EXIF.

    Without it, PyAV cannot list any side data of such a frame.
    """
    member: Any = object.__new__(cls)
    member._name_, member._value_ = f"UNKNOWN_{value}", value
    return cast(Type, member)


Type._missing_ = classmethod(_make_unknown_type)  # type: ignore[assignment,method-assign]


@dataclass(frozen=True, slots=True)
class Hdr10Metadata:
    """HDR10 metadata as x265 writes it; empty texts where there is none.

    Parameters
    ----------
    mastering_display : str
        Primaries and white point in units of 1/50,000, luminances in 1/10,000 candela per square
        metre (SMPTE ST 2086): ``G(13250,34500)B(...)R(...)WP(...)L(max,min)``.
    light_level : str
        Largest content and frame-average light levels, candela per square metre (CTA-861.3).
    """

    mastering_display: str = ""
    light_level: str = ""


def read_side_data(frame: av.VideoFrame) -> tuple[tuple[int, ...] | None, Hdr10Metadata]:
    """Return the display matrix of a film's first frame, if it has one, and its HDR10 metadata.

    Only the probed frame may be asked: PyAV crashes in `make_writable` of a frame whose side data
    was read.
    """
    matrix: tuple[int, ...] | None = None
    mastering_display = light_level = ""
    side_data: Any = frame.side_data
    for data in side_data:
        if data.type is Type.DISPLAYMATRIX:
            matrix = tuple(int(n) for n in np.frombuffer(bytes(data), np.int32))
        elif data.type is Type.MASTERING_DISPLAY_METADATA:
            mastering_display = _format_mastering_display(bytes(data))
        elif data.type is Type.CONTENT_LIGHT_LEVEL:
            levels = np.frombuffer(bytes(data), np.uint32)[:2]
            light_level = ",".join(map(str, levels))
    return matrix, Hdr10Metadata(mastering_display, light_level)


def _format_mastering_display(data: bytes) -> str:
    """Return AVMasteringDisplayMetadata in the form of x265; empty if it is incomplete."""
    numbers = np.frombuffer(data, np.int32)[:22]
    if len(numbers) < 22 or not numbers[20:].all():  # whether primaries and luminance are known
        return ""
    values = [
        float(Fraction(int(over), int(under) or 1)) for over, under in numbers[:20].reshape(-1, 2)
    ]
    pairs = zip(values[0:8:2], values[1:8:2], strict=True)
    points = [f"({round(x * 50_000)},{round(y * 50_000)})" for x, y in pairs]
    red, green, blue, white = points
    darkest, brightest = (round(value * 10_000) for value in values[8:])
    return f"G{green}B{blue}R{red}WP{white}L({brightest},{darkest})"
