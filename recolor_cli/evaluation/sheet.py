"""The pictures behind the figures: the best, the middling and the worst of a model."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from recolor_cli.color.lab import rgb_to_gray
from recolor_cli.evaluation.pictures import Picture
from recolor_cli.evaluation.table import aged_picture, color_picture
from recolor_cli.guidance.recolor_options import RecolorOptions
from recolor_cli.model.color_network import ColorNetwork
from recolor_cli.recolorizer import Recolorizer
from recolor_cli.types import RgbImage

_CELL = 256  # px, the longest side of a picture in the sheet
_TEXT = 14  # px, the height of a line
_GAP = 24  # px, between best, median and worst


def contact_sheet(
    pictures: Sequence[Picture],
    differences: Sequence[float],
    network: ColorNetwork,
    options: RecolorOptions,
    count: int,
    aged: bool = False,
) -> bytes:
    """Show what a model makes of some pictures: gray | result | truth.

    Parameters
    ----------
    pictures : sequence of Picture
        As they were measured.
    differences : sequence of float
        CIEDE2000 of each: what they are ordered by.
    network, options, aged
        As they were measured with.
    count : int
        How many of the best, of those around the median and of the worst: three columns.

    Returns
    -------
    bytes
        A PNG.
    """
    order = np.argsort(differences, kind="stable")
    count = min(count, len(order))
    middle = (len(order) - count) // 2
    columns = {
        "best": order[:count],
        "median": order[middle : middle + count],
        "worst": order[len(order) - count :][::-1],
    }
    width = 3 * _CELL
    sheet = Image.new(
        "RGB", (3 * width + 2 * _GAP, _TEXT + count * (_CELL + _TEXT + _GAP)), "white"
    )
    draw = ImageDraw.Draw(sheet)
    recolorizer = Recolorizer(network, options)
    for column, (title, chosen) in enumerate(columns.items()):
        left = column * (width + _GAP)
        draw.text((left, 0), f"{title} {count} of {len(order)}: gray | result | truth", "black")
        for row, number in enumerate(map(int, chosen)):
            top = _TEXT + row * (_CELL + _TEXT + _GAP)
            name = Path(pictures[number].name).name
            caption = f"{name}  CIEDE2000 {differences[number]:.1f}"
            draw.text((left, top), caption.encode("ascii", "replace").decode(), "black")
            truth = color_picture(pictures[number])
            shown = aged_picture(truth, number) if aged else truth
            result = recolorizer.paint(truth, recolorizer.predict(shown))
            for place, rgb in enumerate((rgb_to_gray(shown), result, truth)):
                sheet.paste(_fitted(rgb), (left + place * _CELL, top + _TEXT))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def _fitted(rgb: RgbImage) -> Image.Image:
    image = Image.fromarray(rgb)
    image.thumbnail((_CELL, _CELL), Image.Resampling.LANCZOS)
    return image
