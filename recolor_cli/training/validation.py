"""Measure a network while it trains, and draw its results."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from recolor_cli.color.lab import rgb_to_gray
from recolor_cli.color.resize import shrink_to_side
from recolor_cli.evaluation.metrics import Accumulator, Figures
from recolor_cli.evaluation.pictures import Picture, load_pictures, usable
from recolor_cli.model.color_network import ColorNetwork
from recolor_cli.recolorizer import Recolorizer

_SHEET_SIDE = 512  # px, the longest side of a picture on a sheet


def load_validation_pictures(sources: Sequence[str], count: int) -> list[Picture]:
    """Load at most `count` pictures, spread evenly over the sources; leave out tiny ones.

    Sources often hold one kind of picture after another, so that the first ones are no sample.
    """
    pictures = load_pictures(sources)
    chosen = np.linspace(0, len(pictures), min(count, len(pictures)), endpoint=False)
    return usable([pictures[int(i)] for i in chosen])


def measure(network: ColorNetwork, pictures: Sequence[Picture]) -> Figures:
    """Recolor pictures as `recolor` does and compare the results with the originals."""
    recolorizer = Recolorizer(network)
    accumulator = Accumulator()
    for picture in pictures:
        rgb = picture.rgb()
        accumulator.add(rgb, recolorizer.recolor(rgb))
    return accumulator.figures()


def draw_sample_sheet(network: ColorNetwork, pictures: Sequence[Picture]) -> bytes:
    """Return a PNG with one row for each picture: gray | prediction | truth."""
    recolorizer = Recolorizer(network)
    rows = []
    for picture in pictures:
        rgb = shrink_to_side(picture.rgb(), _SHEET_SIDE)
        rows.append(np.hstack((rgb_to_gray(rgb), recolorizer.recolor(rgb), rgb)))
    sheet = np.full(
        (sum(r.shape[0] for r in rows), max(r.shape[1] for r in rows), 3), 255, np.uint8
    )
    top = 0
    for row in rows:
        sheet[top : top + row.shape[0], : row.shape[1]] = row
        top += row.shape[0]
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "PNG")
    return buffer.getvalue()
