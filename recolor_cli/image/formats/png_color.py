"""Color profiles of PNGs that give their color in numbers: cICP, or gAMA and cHRM.

References
----------
Portable Network Graphics, third edition (W3C 2025), sections 4.3 and 11.3.2: of several chunks,
cICP has precedence over iCCP, that over sRGB, and that over gAMA and cHRM.
ITU-T H.273 (2024), tables 2 and 3: the meaning of the numbers in cICP.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np

from recolor_cli.color.srgb import srgb_to_linear
from recolor_cli.errors import InputError
from recolor_cli.image.color_profiles import is_srgb, make_rgb_profile
from recolor_cli.types import FloatArray

_Chromaticities = tuple[float, ...]  # x, y of white, red, green, blue

_D65 = (0.3127, 0.3290)
_BT_709: _Chromaticities = (*_D65, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060)
_PRIMARIES: dict[int, _Chromaticities] = {
    1: _BT_709,
    5: (*_D65, 0.640, 0.330, 0.290, 0.600, 0.150, 0.060),  # BT.601 of 625 lines
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),  # BT.601 of 525 lines
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),  # BT.2020
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),  # DCI-P3
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),  # Display P3
}
_SRGB_CURVE = 13
_VIDEO_CURVES = (1, 6, 14, 15)  # BT.709, BT.601 and BT.2020 have the same one
_POWERS = {4: 2.2, 5: 2.8, 8: 1.0}
_HDR = {16: "PQ", 18: "HLG"}
_UNSPECIFIED = 2

_SRGB_GAMMA, _TOLERANCE = 45455, 500  # gAMA of sRGB, in 1/100,000
_CURVE_STEPS = 4096


def profile_of_chunks(chunks: Mapping[bytes, bytes], embedded: bytes) -> tuple[bytes, str]:
    """Return the profile that a PNG's pixels are to be read by, and a warning.

    Parameters
    ----------
    chunks : mapping of bytes to bytes
        Contents of the chunks in front of the pixels, by name.
    embedded : bytes
        The profile that the file embeds, or nothing.

    Returns
    -------
    profile : bytes
        Of RGB; nothing for sRGB.
    warning : str
        Names the color that is not understood, or nothing.

    Raises
    ------
    InputError
        If the levels are those of high dynamic range, which would have to be tone-mapped.
    """
    cicp = chunks.get(b"cICP", b"")
    if len(cicp) == 4 and not (embedded and cicp[1] in _HDR):
        primaries, curve, matrix, is_full = cicp
        if curve in _HDR:
            raise InputError(
                f"its levels are of high dynamic range ({_HDR[curve]})",
                "export it as sRGB from the program that made it",
            )
        if matrix == 0 and is_full == 1:
            found = _build_profile(_PRIMARIES.get(primaries), _curve(curve))
            if found is not None:
                return found, ""
        if (primaries, curve) != (_UNSPECIFIED, _UNSPECIFIED):
            read_as = "by its profile" if embedded else "as sRGB"
            numbers = "-".join(map(str, cicp))
            return embedded, f"its color (cICP {numbers}) is not known, it is read {read_as}"
    if embedded or b"sRGB" in chunks:
        return embedded, ""
    gamma, chromaticities = chunks.get(b"gAMA", b""), chunks.get(b"cHRM", b"")
    if len(gamma) != 4 and len(chromaticities) != 32:
        return b"", ""
    level = int.from_bytes(gamma) if len(gamma) == 4 else _SRGB_GAMMA
    if abs(level - _SRGB_GAMMA) <= _TOLERANCE:
        values: FloatArray | None = _curve(_SRGB_CURVE)
    else:
        values = _power(100_000 / level) if 10_000 <= level <= 1_000_000 else None
    corners = _BT_709
    if len(chromaticities) == 32:
        corners = tuple(value / 100_000 for value in struct.unpack(">8I", chromaticities))
    found = _build_profile(corners, values)
    if found is None:
        return b"", "its color (gAMA, cHRM) makes no sense, it is read as sRGB"
    return found, ""


def _build_profile(corners: _Chromaticities | None, values: FloatArray | None) -> bytes | None:
    """Return a profile, which is empty for sRGB, or None if the numbers make no color space."""
    if corners is None or values is None:
        return None
    try:
        profile = make_rgb_profile(corners, values)
        return b"" if is_srgb(profile) else profile
    except InputError:
        return None


def _curve(number: int) -> FloatArray | None:
    """Return linear light of levels 0..1 by a curve of H.273, or None if it is not known."""
    level = np.linspace(0, 1, _CURVE_STEPS)
    if number == _SRGB_CURVE:
        return srgb_to_linear(level).astype(np.float32)
    if number in _VIDEO_CURVES:
        bright = ((level + 0.099) / 1.099) ** (1 / 0.45)
        return np.where(level < 0.081, level / 4.5, bright).astype(np.float32)
    return _power(_POWERS[number]) if number in _POWERS else None


def _power(exponent: float) -> FloatArray:
    return (np.linspace(0, 1, _CURVE_STEPS) ** exponent).astype(np.float32)
