"""Read hints as users give them: x,y,color, a JSON list of those, or a picture with strokes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from recolor_cli.errors import RecolorError, UsageError
from recolor_cli.guidance.color_texts import levels_to_ab, parse_color
from recolor_cli.guidance.hints import Hint, Hints, Scribble
from recolor_cli.image.decode import decode
from recolor_cli.system.named_files import LOCAL_FILES, NamedFiles, read_guide
from recolor_cli.system.texts import decode_text

_ADVICE = (
    "write x,y,color, as in 120,80,#c8102e or 120,80,red, "
    "or name a JSON file of them or a transparent PNG with strokes"
)
_MOST_DIGITS = 20  # of a whole number that is read as one


def load_hints(texts: Sequence[str], files: NamedFiles = LOCAL_FILES) -> Hints:
    """Read hints from the arguments of a command.

    Parameters
    ----------
    texts : sequence of str
        Each is ``x,y,color``, the path of a JSON file with a list of objects of x, y and color
        or with such a list under ``hints``, or the path of a picture that is transparent where
        there is no hint.
    files : NamedFiles
        Those that the texts may name.

    Raises
    ------
    UsageError
        If one is none of these.
    """
    points: list[Hint] = []
    scribbles: list[Scribble] = []
    for text in texts:
        if not text.strip():
            raise UsageError(f"{text!r} is not a hint", _ADVICE)
        if text.count(",") >= 2 and not files.exists(text):
            points.append(_parse_point(text))
            continue
        data = read_guide(files, text, "hints", _ADVICE)
        start = decode_text(data[:64], "replace").lstrip()
        if start.startswith(("[", "{")):
            points += _parse_json(text, data)
        else:
            scribbles.append(_decode_scribble(text, data, files.max_pixels))
    return Hints(tuple(points), tuple(scribbles))


def _parse_point(text: str) -> Hint:
    parts = text.split(",")
    number = r"\s*\d{1,9}(\.\d*)?\s*"
    if len(parts) != 3 or not all(re.fullmatch(number, part) for part in parts[:2]):
        raise UsageError(f"{text!r} is not a hint", _ADVICE)
    return Hint(float(parts[0]), float(parts[1]), parse_color(parts[2]))


def _parse_json(name: str, data: bytes) -> list[Hint]:
    try:
        values = json.loads(decode_text(data), parse_int=_parse_whole_number)
        entries = values["hints"] if isinstance(values, dict) else values
        if not (isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)):
            raise ValueError("its JSON is something else")
        # The page of `recolor serve` may save a picture without hints.
        if not entries and isinstance(values, list):
            raise ValueError("the list is empty")
        return [_parse_entry(entry) for entry in entries]
    except UsageError as error:  # of a color
        raise UsageError(f"{name} holds no hints: {error.message}", error.hint) from error
    except (ValueError, KeyError, RecursionError) as error:
        reason = str(error)
        if isinstance(error, KeyError):
            reason = f"there is no {error}"
        elif isinstance(error, RecursionError):
            reason = "its brackets are nested too deeply"
        raise UsageError(
            f"{name} holds no hints: {reason}",
            'it needs a list of {"x": 120, "y": 80, "color": "#c8102e"}',
        ) from error


def _parse_entry(entry: dict[str, Any]) -> Hint:
    x, y = _parse_number(entry["x"]), _parse_number(entry["y"])
    color, radius = entry["color"], entry.get("radius")
    if not isinstance(color, str):
        raise ValueError(f"the color {color!r} is no text")
    return Hint(x, y, parse_color(color), None if radius is None else _parse_number(radius))


def _parse_whole_number(digits: str) -> int | float:
    """Return a number; `int` refuses thousands of digits in words of its own."""
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


def _parse_number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{value!r} is no number") from error


def _decode_scribble(name: str, data: bytes, max_pixels: int | None) -> Scribble:
    try:
        picture = decode(data, max_pixels=max_pixels)
    except RecolorError as error:
        raise UsageError(f"the hints {name} cannot be read: {error.message}", _ADVICE) from error
    rgb, alpha = picture.rgb, picture.alpha
    if alpha is None:
        raise UsageError(
            f"the drawing {name} has no transparency", "leave it transparent where no hint is"
        )
    drawn = alpha >= 1 << 7
    if not drawn.any():
        raise UsageError(f"the drawing {name} is empty", "draw some strokes of color on it")
    rows, columns = np.nonzero(drawn)
    return Scribble(name, picture.size, rows, columns, levels_to_ab(rgb[drawn]))
