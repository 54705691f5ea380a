"""Hints: colors that a user gives for places of a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from recolor_cli.color.letterbox import Letterbox
from recolor_cli.color.resize import check_same_aspect
from recolor_cli.errors import InputError
from recolor_cli.guidance.color_texts import levels_to_ab, parse_color
from recolor_cli.guidance.hint_propagation import HintConstraints
from recolor_cli.types import FloatArray, ImageSize

# Radius of a hint's disc, as a share of the canvas's long side. Upsampling to the picture reads so
# far around a pixel.
_RADIUS = 2.5 / 256
_LEAST_RADIUS = 0.71  # px of the canvas; a disc of less may lie between the pixels' centers


@dataclass(frozen=True, slots=True)
class Hint:
    """A color at a place.

    Parameters
    ----------
    x, y : float
        Pixels of the picture as it is displayed, from its upper left corner.
    color : (int, int, int)
        sRGB, 0..255. A text, such as ``#c8102e`` or ``gold``, becomes these.
    radius : float or None
        Of the disc that has this color for certain, pixels of the picture, more than 0. None is
        1 % of the picture's long side.

    Raises
    ------
    UsageError
        If a text is no color of `parse_color`.
    ValueError
        If the radius is not more than 0, or the color is not three whole numbers, 0..255.
    """

    x: float
    y: float
    color: tuple[int, int, int] | str
    radius: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.color, str):
            object.__setattr__(self, "color", parse_color(self.color))
        # numpy gives the three one dtype: an integer one only if each is a whole number.
        levels = np.array(self.color)
        is_whole = levels.shape == (3,) and np.issubdtype(levels.dtype, np.integer)
        if not is_whole or levels.min() < 0 or levels.max() > 255:
            raise ValueError(f"a color is a text or three whole numbers, 0..255, not {self.color}")
        if self.radius is not None and not 0 < self.radius < math.inf:
            raise ValueError(f"a hint's radius must be more than 0, not {self.radius:g}")

    @property
    def levels(self) -> tuple[int, int, int]:
        """Return red, green and blue, 0..255."""
        return cast("tuple[int, int, int]", self.color)  # a text was parsed

    @property
    def given(self) -> tuple[object, ...]:
        """Return x, y and color, and the radius where one was given."""
        place = self.x, self.y, self.color
        return place if self.radius is None else (*place, self.radius)


@dataclass(frozen=True, eq=False, slots=True)
class Scribble:
    """Colored strokes over a picture.

    Parameters
    ----------
    name : str
        Name of the file, for messages.
    size : ImageSize
        Size of the drawing, which may differ from the picture's; the shape is the same.
    rows, columns : int array, shape (n,)
        The pixels of the strokes.
    ab : float32 array, shape (n, 2), CIELAB units
        Their colors.
    """

    name: str
    size: ImageSize
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    ab: FloatArray


@dataclass(frozen=True, eq=False, slots=True)
class Hints:
    """All hints of a run, as points and as scribbles; false if there is none."""

    points: Sequence[Hint]
    scribbles: tuple[Scribble, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", tuple(self.points))

    def __bool__(self) -> bool:
        return bool(self.points or self.scribbles)

    def check_fit(self, picture: ImageSize) -> None:
        """Check that the hints lie on a picture of this size.

        Raises
        ------
        InputError
            If a point lies outside the picture, or a scribble has another shape.
        """
        for hint in self.points:
            if not (0 <= hint.x < picture.width and 0 <= hint.y < picture.height):
                raise InputError(
                    f"the hint {hint.x:g},{hint.y:g} lies outside the picture, {picture}",
                    "count pixels from the upper left corner of the picture as it is displayed",
                )
        for scribble in self.scribbles:
            check_same_aspect(f"the drawing {scribble.name}", scribble.size, picture)

    def constraints(self, letterbox: Letterbox) -> HintConstraints:
        """Map the hints to the pixels of a network's canvas.

        A point becomes a disc of its radius. Where discs overlap, the nearer point counts; where
        scribbles overlap, the mean of their colors does. Points lie above scribbles.

        Parameters
        ----------
        letterbox : Letterbox
            Of the picture.

        Raises
        ------
        InputError
            As `check_fit`.
        """
        self.check_fit(letterbox.source)
        fixed, ab = self._drawn_pixels(letterbox)
        height, width = fixed.shape
        source, inner = letterbox.source, letterbox.inner
        nearest = np.full(fixed.shape, np.inf)  # px to the nearest point
        usual = _RADIUS * max(fixed.shape) + 0.5
        rows, columns = np.arange(height)[:, None] + 0.5, np.arange(width) + 0.5
        for hint in self.points:
            hint_x = letterbox.left + (hint.x + 0.5) * inner.width / source.width
            hint_y = letterbox.top + (hint.y + 0.5) * inner.height / source.height
            radius = usual
            if hint.radius is not None:
                scaled = hint.radius * inner.width / source.width
                radius = max(scaled, _LEAST_RADIUS)
            box = down, across = _around(hint_y, radius, height), _around(hint_x, radius, width)
            distance = np.hypot(columns[across] - hint_x, rows[down] - hint_y)
            disc = (distance < radius) & (distance < nearest[box])
            nearest[box][disc] = distance[disc]
            fixed[box] |= disc
            ab[box][disc] = levels_to_ab([hint.levels])[0]
        return HintConstraints(fixed, ab)

    def _drawn_pixels(self, letterbox: Letterbox) -> tuple[NDArray[np.bool_], FloatArray]:
        """Return which pixels of the canvas scribbles cover, (h, w), and their ab, (h, w, 2)."""
        shape = letterbox.canvas.height, letterbox.canvas.width
        total = np.zeros((*shape, 2), np.float32)
        count = np.zeros(shape, np.float32)
        for scribble in self.scribbles:
            down = letterbox.inner.height / scribble.size.height
            across = letterbox.inner.width / scribble.size.width
            # A pixel of a small drawing covers several of the canvas, so sample it that often.
            samples = max(1, math.ceil(down), math.ceil(across))
            for row, column in np.ndindex(samples, samples):
                rows = letterbox.top + (scribble.rows + (row + 0.5) / samples) * down
                columns = letterbox.left + (scribble.columns + (column + 0.5) / samples) * across
                place = rows.astype(np.intp), columns.astype(np.intp)
                np.add.at(count, place, 1)
                np.add.at(total, place, scribble.ab)
        ab = cast(FloatArray, total / np.maximum(count, np.float32(1))[..., None])
        return count > 0, ab


def _around(center: float, radius: float, side: int) -> slice:
    """Return the pixels of an axis of `side` px that lie within a radius."""
    return slice(int(max(0, center - radius)), math.ceil(min(side, center + radius)))
