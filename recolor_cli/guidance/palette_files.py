"""Read palettes: lists of colors, palette files, or the colors of a picture.

References
----------
GIMP: devel-docs/gpl-palette-format. Adobe: Photoshop File Formats Specification (color swatches,
.aco). Adobe Swatch Exchange (.ase) has no specification; this follows other readers, such as Krita.
"""

from __future__ import annotations

import colorsys
import re
import struct
from difflib import get_close_matches
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from recolor_cli.color.lab import rgb_to_lab_cv2
from recolor_cli.errors import InputError, RecolorError, UsageError
from recolor_cli.guidance.color_texts import levels_to_ab
from recolor_cli.guidance.palette_bank import DESCRIPTIONS, named_palette
from recolor_cli.guidance.palette_matching import Palette
from recolor_cli.image.decode import decode
from recolor_cli.system.named_files import LOCAL_FILES, NamedFiles, read_guide
from recolor_cli.system.texts import decode_text
from recolor_cli.types import AnyPlanes, FloatArray, RgbImage

_SAMPLE_SIDE = 256  # px, the longest side of the copy of a picture whose colors are counted
_OPAQUE = 128  # level of opacity from which a pixel of a picture counts
_ADVICE = (
    "name one that `recolor palettes` lists, a picture, a .gpl, .ase or .aco file, or colors: "
    '"#c8102e,#f2c14e,gold"'
)


def load_palette(text: str, files: NamedFiles = LOCAL_FILES) -> Palette:
    """Read the palette that an argument of a command names.

    Parameters
    ----------
    text : str
        A name of `palette_bank.DESCRIPTIONS`; colors separated by commas, as `parse_color` takes
        them; or the path of a GIMP palette, of an Adobe swatch file (.ase, .aco), or of a picture.
        The colors of a picture count as often as they occur. A file counts more than a name or
        colors of its name, unless a ``#`` begins the text.
    files : NamedFiles
        Those that the text may name.

    Raises
    ------
    UsageError
        If the text is empty, the file cannot be read, or a color cannot be parsed.
    """
    if not text.strip():
        raise UsageError(f"{text!r} is not a palette", _ADVICE)
    path = Path(text)
    is_file = files.exists(text)
    if not is_file and text.strip().lower() in DESCRIPTIONS:
        return named_palette(text.strip().lower())
    is_color_list = re.fullmatch(r"[\w#, ]+", text) and not is_file
    if is_color_list or text.lstrip().startswith("#"):
        return _parse_colors(text)
    data = read_guide(files, text, "palette", _near_name(text) or _ADVICE)
    try:
        if decode_text(data[:64], "replace").startswith("GIMP Palette"):
            return _palette_of(_parse_gimp(data))
        if data.startswith(b"ASEF"):
            return _palette_of(_parse_ase(data))
        if path.suffix.lower() == ".aco":
            return _palette_of(_parse_aco(data))
        decoded = decode(data, max_pixels=files.max_pixels)
        return _palette_of_picture(cast(RgbImage, decoded.rgb), decoded.alpha)
    except struct.error as error:
        raise UsageError(f"the palette {text} is broken: its end is missing", _ADVICE) from error
    except (ValueError, OverflowError) as error:
        raise UsageError(f"the palette {text} is broken: {error}", _ADVICE) from error
    except InputError as error:
        raise UsageError(f"the palette {text} cannot be read: {error.message}", _ADVICE) from error
    except RecolorError as error:
        raise UsageError(f"the palette {text}: {error.message}", _ADVICE) from error


def _parse_colors(text: str) -> Palette:
    try:
        return Palette.of_colors(text.split(","))
    except UsageError as error:
        advice = f"{error.hint}; or name a file, or one that `recolor palettes` lists"
        raise UsageError(
            f"the palette {text}: {error.message}", _near_name(text) or advice
        ) from error


def _near_name(text: str) -> str:
    """Return the advice that the name of a palette was misspelt; empty if none is near."""
    # A list of colors is none, and `orang` is not near enough to teal-orange.
    near = "," not in text and get_close_matches(text.strip().lower(), DESCRIPTIONS, 1, 0.7)
    return f"did you mean {near[0]}? {_ADVICE}" if near else ""


def _palette_of(ab: FloatArray) -> Palette:
    """Make a palette in which each color has the same share.

    Raises
    ------
    ValueError
        If there is no color, or one is not a number.
    """
    if not len(ab):
        raise ValueError("it holds no color")
    if not np.isfinite(ab).all():
        raise ValueError("a color is not a number")
    return Palette.of_equal_shares(ab)


def _palette_of_picture(rgb: RgbImage, alpha: AnyPlanes | None) -> Palette:
    """Return the colors of a picture, as often as they occur where it is opaque.

    Raises
    ------
    ValueError
        If it is opaque nowhere.
    """
    if alpha is not None and (alpha < _OPAQUE).any():
        # A smaller copy would mix opaque pixels with the hidden ones beside them.
        seen = rgb[alpha >= _OPAQUE]
        if not len(seen):
            raise ValueError("all of it is transparent")
        if len(seen) > _SAMPLE_SIDE**2:
            # Random ones, because a fixed step can hit the same columns in all rows.
            seen = seen[np.random.default_rng(0).integers(len(seen), size=_SAMPLE_SIDE**2)]
        return Palette.of_picture(seen[None])
    longest = max(rgb.shape[:2])
    if longest > _SAMPLE_SIDE:
        # Unlike `shrink_to_side`, this rounds down.
        width, height = (max(1, side * _SAMPLE_SIDE // longest) for side in rgb.shape[1::-1])
        rgb = cast(RgbImage, cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA))
    return Palette.of_picture(rgb)


def _parse_gimp(data: bytes) -> FloatArray:
    colors = []
    for line in decode_text(data, "replace").splitlines()[1:]:
        words = line.split()
        if not words or words[0].startswith("#") or words[0] in ("Name:", "Columns:", "Channels:"):
            continue
        try:
            levels = [int(word) for word in words[:3]]
        except ValueError:
            levels = []
        if len(levels) < 3 or not all(0 <= level <= 255 for level in levels):
            raise ValueError(f"{line.strip()!r} is not a color")
        colors.append((levels[0], levels[1], levels[2]))
    return levels_to_ab(colors) if colors else np.empty((0, 2), np.float32)


def _parse_ase(data: bytes) -> FloatArray:
    (count,) = struct.unpack_from(">8xI", data)
    offset, colors = 12, []
    for _ in range(count):
        kind, length = struct.unpack_from(">HI", data, offset)
        if kind == 1:  # a color; other kinds are groups
            (name,) = struct.unpack_from(">H", data, offset + 6)
            at = offset + 8 + 2 * name
            (model,) = struct.unpack_from("4s", data, at)
            size = {b"RGB ": 3, b"CMYK": 4, b"LAB ": 3, b"Gray": 1, b"GRAY": 1}.get(model)
            if size is None:
                raise ValueError(f"the color model {model.decode('latin-1')!r} is unknown")
            values = struct.unpack_from(f">{size}f", data, at + 4)
            # Lab here is relative to D50, and ours to D65. Adapting the white keeps ab.
            colors.append(values[1:] if model == b"LAB " else _to_ab(*_to_rgb(values)))
        offset += 6 + length
    return np.array(colors, np.float32)


def _parse_aco(data: bytes) -> FloatArray:
    version, count = struct.unpack_from(">HH", data)
    if version not in (1, 2):
        raise ValueError(f"version {version} is unknown")
    offset, colors = 4, []
    for _ in range(count):
        space, *words = struct.unpack_from(">5H", data, offset)
        offset += 10
        if version == 2:  # a name follows, in UTF-16
            (length,) = struct.unpack_from(">I", data, offset)
            offset += 4 + 2 * length
        w, x, y, z = (word / 65_535 for word in words)
        if space == 0:
            colors.append(_to_ab(w, x, y))
        elif space == 1:
            colors.append(_to_ab(*colorsys.hsv_to_rgb(w, x, y)))
        elif space == 2:  # CMYK, in which 0 is full ink
            colors.append(_to_ab(*_to_rgb((1 - w, 1 - x, 1 - y, 1 - z))))
        elif space == 7:
            a, b = struct.unpack(">hh", struct.pack(">HH", *words[1:3]))
            colors.append((a / 100, b / 100))
        elif space == 8:
            colors.append((0.0, 0.0))
        elif space == 9:
            colors.append(_to_ab(*_to_rgb(tuple(word / 10_000 for word in words))))
        else:
            raise ValueError(f"the color space {space} is unknown")
    return np.array(colors, np.float32)


def _to_rgb(values: tuple[float, ...]) -> tuple[float, float, float]:
    """Convert gray, RGB or CMYK to RGB, all 0..1; CMYK by the naive formula, without a profile."""
    if len(values) == 1:
        return values * 3
    if len(values) == 3:
        return values
    cyan, magenta, yellow, black = values
    return (1 - cyan) * (1 - black), (1 - magenta) * (1 - black), (1 - yellow) * (1 - black)


def _to_ab(red: float, green: float, blue: float) -> tuple[float, float]:
    """Convert sRGB, 0..1, to ab."""
    rgb = np.clip(np.array([[[red, green, blue]]], np.float32), 0, 1)
    _, a, b = rgb_to_lab_cv2(rgb)[0, 0]
    return float(a), float(b)
