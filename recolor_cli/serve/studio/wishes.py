"""The wishes of a person for one picture, as the page sends them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from recolor_cli.errors import UsageError
from recolor_cli.guidance.hints import Hint
from recolor_cli.guidance.recolor_options import DEFAULT_STRENGTH, MAX_VARIANTS

_MAX_HINTS = 500
_MAX_COLORS = 24
_MAX_SEED = 1_000_000
_ADVICE = "reload the page"


@dataclass(frozen=True, slots=True)
class PaletteWish:
    """The source of a palette.

    Parameters
    ----------
    kind : str
        ``name``, ``colors``, ``file`` (that was sent) or ``picture`` (of the folder).
    text : str
        The name, the colors, or the key of the file or picture.
    """

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Wishes:
    """All wishes for a picture; equal wishes make equal pictures.

    Parameters
    ----------
    hints : tuple of Hint
    palette : PaletteWish or None
    palette_strength : float
    temperature : float or None
        None is the model's own.
    strength : float
    only_gray : bool
    mask : str
        Key of a file that was sent; empty if there is none.
    pick, seed : int
    """

    hints: tuple[Hint, ...] = ()
    palette: PaletteWish | None = None
    palette_strength: float = DEFAULT_STRENGTH
    temperature: float | None = None
    strength: float = 1.0
    only_gray: bool = False
    mask: str = ""
    pick: int = 1
    seed: int = 0

    @classmethod
    def parse(cls, values: Any) -> Wishes:
        """Read the wishes of a request.

        Raises
        ------
        UsageError
            If they are not what the page sends.
        """
        try:
            given = dict(values)
            hints = given.pop("hints", [])
            if len(hints) > _MAX_HINTS:
                raise UsageError(f"more than {_MAX_HINTS} hints", "remove some")
            temperature = given.pop("temperature", None)
            wishes = cls(
                hints=tuple(map(_parse_hint, hints)),
                palette=_parse_palette(given.pop("palette", None)),
                palette_strength=_number(given.pop("palette_strength", DEFAULT_STRENGTH), 0, 1),
                temperature=None if temperature is None else _number(temperature, 0.01, 10),
                strength=_number(given.pop("strength", 1), 0, 3),
                only_gray=bool(given.pop("only_gray", False)),
                mask=str(given.pop("mask", None) or ""),
                pick=int(_number(given.pop("pick", 1), 1, MAX_VARIANTS)),
                seed=int(_number(given.pop("seed", 0), 0, _MAX_SEED)),
            )
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            raise UsageError(f"these wishes cannot be read: {error}", _ADVICE) from error
        if given:
            raise UsageError(f"there are no wishes called {', '.join(map(str, given))}", _ADVICE)
        return wishes


def _parse_hint(value: dict[str, Any]) -> Hint:
    x, y = (round(_number(value[axis], 0, 1e6), 2) for axis in ("x", "y"))
    radius = value.get("radius")
    if radius is not None:
        radius = round(_number(radius, 0.1, 1e5), 2)
    return Hint(x, y, str(value["color"]), radius)


def _parse_palette(value: dict[str, Any] | None) -> PaletteWish | None:
    if value is None:
        return None
    kind, text = str(value["kind"]), str(value["text"])
    if kind not in ("name", "colors", "file", "picture"):
        raise ValueError(f"{kind} is no kind of palette")
    if kind == "colors" and text.count(",") >= _MAX_COLORS:
        raise UsageError(f"more than {_MAX_COLORS} colors", "remove some")
    return PaletteWish(kind, text)


def _number(value: Any, least: float, most: float) -> float:
    number = float(value)
    if not least <= number <= most or math.isnan(number):
        raise ValueError(f"{value} is not within {least:g} and {most:g}")
    return number
