"""Draw the pictures behind the figures: the best, the middling and the worst of a model."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from recolor_cli.color.lab import rgb_to_gray
from recolor_cli.evaluation.pictures import Picture
from recolor_cli.evaluation.table import age_picture, decode_for_measuring
from recolor_cli.guidance.recolor_options import RecolorOptions
from recolor_cli.model.color_network import ColorNetwork
from recolor_cli.recolorizer import Recolorizer
from recolor_cli.types import RgbImage

ROWS = 4  # pictures in a column
_CELL = 256  # px, the longest side of a picture in the sheet
_TEXT = 14  # px, the height of a line
_GAP = 24  # px, between best, median and worst


def draw_example_sheet(
    pictures: Sequence[Picture],
    differences: Sequence[float],
    network: ColorNetwork,
    options: RecolorOptions,
    aged: bool = False,
    rows: int = ROWS,
) -> bytes:
    """Draw three columns of pictures, each as gray | result | truth, and return a PNG.

    Parameters
    ----------
    pictures : sequence of Picture
        The pictures that were measured.
    differences : sequence of float
        CIEDE2000 of each picture. The columns have the smallest ones, those around the median, and
        the largest ones.
    network, options, aged
        As they were passed to `evaluate`.
    rows : int
        Pictures in a column, at least 1.
    """
    order = np.argsort(differences, kind="stable")
    rows = min(rows, len(order))
    middle = (len(order) - rows) // 2
    columns = {
        "best": order[:rows],
        "median": order[middle : middle + rows],
        "worst": order[len(order) - rows :][::-1],
    }
    width = 3 * _CELL
    size = 3 * width + 2 * _GAP, _TEXT + rows * (_CELL + _TEXT + _GAP)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    recolorizer = Recolorizer(network, options)
    for column, (title, chosen) in enumerate(columns.items()):
        left = column * (width + _GAP)
        draw.text((left, 0), f"{title} {rows} of {len(order)}: gray | result | truth", "black")
        for row, number in enumerate(map(int, chosen)):
            top = _TEXT + row * (_CELL + _TEXT + _GAP)
            name = Path(pictures[number].name).name
            caption = f"{name}  CIEDE2000 {differences[number]:.1f}"
            draw.text((left, top), caption.encode("ascii", "replace").decode(), "black")
            truth = decode_for_measuring(pictures[number])
            shown = age_picture(truth, number) if aged else truth
            result = recolorizer.paint(truth, recolorizer.predict(shown))
            for place, rgb in enumerate((rgb_to_gray(shown), result, truth)):
                sheet.paste(_make_thumbnail(rgb), (left + place * _CELL, top + _TEXT))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def _make_thumbnail(rgb: RgbImage) -> Image.Image:
    image = Image.fromarray(rgb)
    image.thumbnail((_CELL, _CELL), Image.Resampling.LANCZOS)
    return image
