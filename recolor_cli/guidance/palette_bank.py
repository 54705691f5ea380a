"""The palettes that come with the program: of periods of film posters, looks, and a bank.

`palette_bank.npz` was made by `recolor_cli.training.palettes`, which describes it. It holds color
histograms, and no picture.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np

from recolor_cli.color.ab_bins import AbBins
from recolor_cli.color.gamut_mapping import clip_chroma
from recolor_cli.color.lab import lab_to_rgb_cv2
from recolor_cli.guidance.color_texts import levels_to_ab, parse_color
from recolor_cli.guidance.palette_matching import Palette
from recolor_cli.types import FloatArray

BANK = "palette_bank.npz"
PERIOD = "period {}"  # name in the file of a period's histogram
CLUSTERS = "clusters"

# Looks that people name: colors and their shares.
_LOOKS = {
    "noir": {"#808080": 60, "#5f6f82": 25, "#9a7b5a": 15},
    "technicolor": {
        "#d8252b": 24, "#0f7f9a": 18, "#f2b82e": 16, "#2f8f4e": 10, "#e8a684": 14, "#808080": 18,
    },
    "teal-orange": {"#1f7a86": 40, "#e0813c": 34, "#4a5a60": 26},
    "pastel": {
        "#f4c6cf": 22, "#bfe3d5": 20, "#bcd6ee": 20, "#f6e9b8": 18, "#d9c8e8": 10, "#eeeeee": 10,
    },
    "litho": {"#c8452f": 26, "#efe3c4": 38, "#3d4a52": 36},
}  # fmt: skip

_PERIODS = {
    "1930s": "lithographs: gold, green, warm red",
    "1940s": "yellow and green beside red",
    "1950s": "yellow, scarlet and black on white",
    "1960s": "paler, with red and pink",
    "1970s": "muted: brown, olive, white",
    "1980s": "blue and violet night, red",
    "modern": "teal, steel and orange, since 2008",
}
_LOOK_TEXTS = {
    "noir": "nearly gray, cool, a little lamplight",
    "technicolor": "three strips: red, blue-green, gold",
    "teal-orange": "the two colors of many blockbusters",
    "pastel": "pink, mint, sky and lemon",
    "litho": "two inks, red and blue-black, on cream paper",
}
DESCRIPTIONS = _PERIODS | _LOOK_TEXTS  # of the named palettes, in the order of their list


def named_palette(name: str) -> Palette:
    """Return the palette of a name in `DESCRIPTIONS`; KeyError if there is none."""
    if name in _PERIODS:
        return _palette_of(_bank()[PERIOD.format(name)])
    colors = [parse_color(code) for code in _LOOKS[name]]
    shares = np.array([*_LOOKS[name].values()], np.float32)
    return Palette(levels_to_ab(colors), shares / shares.sum())


@cache
def bank_palettes() -> list[Palette]:
    """Return the palettes that variants are chosen from."""
    return [_palette_of(histogram) for histogram in _bank()[CLUSTERS]]


def main_colors(palette: Palette, count: int = 6) -> list[str]:
    """Return the main colors of a palette at L* 60, as ``#rrggbb``, the most frequent first.

    Each is the most frequent one that is at least 20 ab units from those before it.
    """
    order = np.argsort(-palette.shares, kind="stable")
    chosen: list[FloatArray] = []
    for color in palette.ab[order]:
        if len(chosen) < count and all(np.linalg.norm(color - other) >= 20 for other in chosen):
            chosen.append(color)
    ab = np.array(chosen, np.float32)[None]
    lightness = np.full(ab.shape[:2], 60, np.float32)
    levels = lab_to_rgb_cv2(lightness, clip_chroma(lightness, ab))[0]
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in levels]


def _palette_of(histogram: FloatArray) -> Palette:
    occupied = histogram > 0
    shares = histogram[occupied].astype(np.float32)
    return Palette(AbBins.srgb().centers[occupied], shares / shares.sum())


@cache
def _bank() -> dict[str, FloatArray]:
    """Return the histograms of periods, (Q,), and of clusters, (K, Q), by their names there."""
    with resources.files(__package__).joinpath(BANK).open("rb") as file, np.load(file) as stored:
        return {name: array.astype(np.float32) for name, array in stored.items()}
