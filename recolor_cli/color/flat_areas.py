"""Give each flat area of a picture one color.

The grounds of posters, walls, skies and clothes are areas of one color. A network decides on each
of their pixels alone, so that they come out in patches. Here the color that most of an area agrees
on is given to the whole of it.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor_cli.types import FloatArray

_MAX_SLOPE = 1.5  # L* a cell; more is an edge
_MIN_SHARE = 0.002  # of the picture that an area must cover
# Cells so near to an area, and so like its border in L*, belong to it: edges are blurred.
_REACH, _MAX_STEP = 3, 6.0
_PACKED = 128  # L* is packed in parts of this, which exceeds 100 and a step on either side
_MAX_SPREAD = 14.0  # standard deviation of L*; an area with more of it is no single surface
_OUTLIER = 12.0  # ab units from an area's color at which a pixel has little say in it
_SLOPE_PENALTY = 9.0  # variance of L* at which color follows lightness by half
# Areas so near in lightness (L*) and color (ab units), such as the letters of a word, share one.
_LIKE_LIGHTNESS, _LIKE_COLOR = 2.0, 10.0


def unify_flat_areas(
    ab: FloatArray, lightness: FloatArray, inside: tuple[slice, slice]
) -> FloatArray:
    """Replace the color of flat areas by one color for each area.

    Parameters
    ----------
    ab : float32 array, shape (h, w, 2), CIELAB units
        Prediction of a network for its canvas.
    lightness : float32 array, shape (H, W), L*, 0..100
        The canvas that the network read.
    inside : tuple of slices
        Rows and columns of the canvas that show the picture, px.

    Returns
    -------
    float32 array, shape (h, w, 2)
        `ab` outside the areas. In an area the color may follow the lightness linearly, as that of a
        sky or of a folded cloth does. A pixel on the edge of an area gets its share.

    Notes
    -----
    An area is a connected part of at least 0.2 % of the picture in which lightness changes slowly.
    It is looked for on a grid of twice the resolution of `ab`, so that a pixel of `ab` has four
    cells. At the resolution of `ab`, L2 falls by 1.5 % on 200 posters of the validation pictures,
    and by 0.8 % on 100 photographs.
    """
    height, width = ab.shape[:2]
    grid = 2 * width, 2 * height
    cells = cast(FloatArray, cv2.resize(lightness, grid, interpolation=cv2.INTER_AREA))
    rows, columns = (_cells_inside(side, 2 * height / lightness.shape[0]) for side in inside)
    found = _label_areas(np.ascontiguousarray(cells[rows, columns]))
    # A pixel on the picture's rim that is half in the padding belongs to its other half's area.
    margins = rows.start % 2, rows.stop % 2, columns.start % 2, columns.stop % 2
    framed = cv2.copyMakeBorder(found, *margins, cv2.BORDER_REPLICATE)
    labels = framed.astype(np.intp)  # `take` is twice as fast with these
    shown = tuple(slice(side.start // 2, (side.stop + 1) // 2) for side in (rows, columns))
    cells = cells[tuple(slice(2 * pixels.start, 2 * pixels.stop) for pixels in shown)]
    result = ab.copy()
    pixels = result[shown]  # a view
    areas = _fit_areas(labels, cells, pixels)
    start, slope = areas.lines()
    in_none = 1 - _shrink(areas.is_flat.astype(np.float32).take(labels))
    for channel in range(2):
        painted = slope[channel].take(labels)
        painted *= cells
        painted += start[channel].take(labels)
        pixels[..., channel] *= in_none
        pixels[..., channel] += _shrink(painted)
    return result


def _cells_inside(side: slice, scale: float) -> slice:
    """Return the cells that lie in the picture, at least one."""
    first, end = int(np.ceil(side.start * scale)), int(side.stop * scale)
    return slice(min(first, max(end - 1, 0)), max(end, 1))


def _shrink(cells: FloatArray) -> FloatArray:
    """Return the mean of the four cells of each pixel: of (2h, 2w), (h, w)."""
    size = cells.shape[1] // 2, cells.shape[0] // 2
    return cast(FloatArray, cv2.resize(cells, size, interpolation=cv2.INTER_AREA))


class _Areas(NamedTuple):
    """The color of each area, by label, as a linear function of L*; 0 where it is not flat."""

    is_flat: NDArray[np.bool_]  # (K,)
    lightness: FloatArray  # mean L*, (K,)
    ab: FloatArray  # at the mean lightness, (2, K)
    slope: FloatArray  # ab units for each L*, (2, K)

    def lines(self) -> tuple[FloatArray, FloatArray]:
        """Return ab at L* 0 and the slope, each (2, K); 0 where an area is not flat."""
        slope = self.slope * self.is_flat
        return (self.ab - slope * self.lightness) * self.is_flat, slope


def _label_areas(cells: FloatArray) -> FloatArray:
    """Return the label of each cell's area, a whole number from 1 on, or 0."""
    # A filter of 5 x 5 smooths, too, so that grain makes no edges.
    slope_x, slope_y = (
        cv2.Sobel(cells, cv2.CV_32F, dx, dy, ksize=5, scale=1 / 128) for dx, dy in ((1, 0), (0, 1))
    )
    is_smooth = (cv2.magnitude(slope_x, slope_y) < _MAX_SLOPE).view(np.uint8)
    # The opening removes chains of single cells, which run all over a rough texture.
    is_flat = cv2.morphologyEx(is_smooth, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, numbered = cv2.connectedComponents(is_flat, connectivity=4)
    parts = numbered.astype(np.intp)
    large = np.flatnonzero(np.bincount(parts.ravel())[1:] >= _MIN_SHARE * cells.size) + 1
    numbers = np.zeros(count, np.float32)
    numbers[large] = np.arange(1, len(large) + 1)
    return _grow(numbers.take(parts), cells)


def _grow(labels: FloatArray, lightness: FloatArray) -> FloatArray:
    """Let areas take the cells around them, step by step, that are as light as their border."""
    # OpenCV cannot dilate pairs of numbers. So one number holds both: the label is its whole part,
    # and L* the rest. There are at most 1 / _MIN_SHARE labels, and float32 keeps L* to a hundredth.
    fraction = lightness / _PACKED
    packed = labels + fraction * (labels > 0)
    lowest = fraction - _MAX_STEP / _PACKED  # L* of a border that a cell just joins
    for _ in range(_REACH):
        near = cast(FloatArray, cv2.dilate(packed, np.ones((3, 3), np.uint8)))
        above = near - lowest
        above -= np.floor(above)  # without the label
        joins = (above < 2 * _MAX_STEP / _PACKED) & (packed == 0)
        cv2.copyTo(near, joins.view(np.uint8), packed)
    return np.floor(packed)


def _fit_areas(labels: NDArray[np.intp], cells: FloatArray, ab: FloatArray) -> _Areas:
    """Fit the color of each area to the pixels that lie in it with all four cells.

    `labels` and `cells` are (2h, 2w), `ab` is (h, w, 2).
    """
    count = int(labels.max()) + 1
    first = labels[::2, ::2]
    is_whole = first > 0
    for y, x in ((0, 1), (1, 0), (1, 1)):
        is_whole &= labels[y::2, x::2] == first
    whole = np.flatnonzero(is_whole)
    label = first.ravel().take(whole)
    order = label.astype(np.uint16).argsort(kind="stable")
    whole, label = whole.take(order), label.take(order)
    is_first = np.ones(len(label), bool)
    is_first[1:] = label[1:] != label[:-1]
    begins = np.flatnonzero(is_first)
    found = label[begins]
    light = _shrink(cells).ravel().take(whole)
    # L*, L* squared, a, b, and a and b by L*: the sums of these over an area give its line.
    columns = np.empty((7, len(whole)))
    columns[0], columns[1] = 1, light
    columns[2], columns[3:5] = light * columns[1], ab.reshape(-1, 2).take(whole, axis=0).T
    columns[5:] = columns[3:5] * columns[1]
    sums = np.zeros((7, count))
    sums[:, found] = np.add.reduceat(columns, begins, axis=1)
    members = sums[0].astype(np.int64)
    areas, _ = _fit(sums)
    start, slope = areas.lines()
    error = columns[3:5] - start.take(label, axis=1) - slope.take(label, axis=1) * light
    distance = np.square(error).sum(axis=0, dtype=np.float32)
    agreement = np.exp(distance / np.float32(-2 * _OUTLIER**2))
    columns *= agreement
    sums[:, found] = np.add.reduceat(columns, begins, axis=1)
    areas, spread = _fit(sums)
    is_flat = (members > 0) & (spread < _MAX_SPREAD)
    return _share_color(areas._replace(is_flat=is_flat), members)


def _fit(sums: NDArray[np.float64]) -> tuple[_Areas, FloatArray]:
    """Fit ab = mean + slope * (L* - mean L*) in each area; return also the deviation of L*.

    `sums` are those of the weights, of L*, its square, a, b, and a and b by L*, weighted, (7, K).
    """
    means = sums[1:] / np.maximum(sums[0], 1e-6)
    light, color = means[0], means[2:4]
    variance = np.maximum(means[1] - light**2, 0)
    slope = (means[4:] - color * light) / (variance + _SLOPE_PENALTY)
    is_flat = np.ones(sums.shape[1], bool)
    fitted = (array.astype(np.float32) for array in (light, color, slope, np.sqrt(variance)))
    light, color, slope, spread = fitted
    return _Areas(is_flat, light, color, slope), spread


def _share_color(areas: _Areas, members: NDArray[np.int64]) -> _Areas:
    """Pull areas of like lightness and color toward their common color."""
    flat = areas.is_flat
    color, light = areas.ab[:, flat], areas.lightness[flat]
    distance = np.square((light[:, None] - light) / _LIKE_LIGHTNESS)
    for plane in color:
        distance += np.square((plane[:, None] - plane) / _LIKE_COLOR)
    likeness = np.exp(distance / -2) * members[flat]
    shared = areas.ab.copy()
    shared[:, flat] = color @ likeness.T / likeness.sum(axis=1)
    return areas._replace(ab=shared)
