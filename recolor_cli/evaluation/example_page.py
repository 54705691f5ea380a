"""Write a page of measured pictures: gray, as each model colors them, and in their true color."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from recolor_cli.color.lab import rgb_to_gray
from recolor_cli.evaluation.pictures import Picture
from recolor_cli.evaluation.table import ModelFigures, age_picture, decode_for_measuring
from recolor_cli.gallery.comparison import ComparedModel, ComparisonPage
from recolor_cli.guidance.recolor_options import RecolorOptions
from recolor_cli.image.compare import draw_thumbnail
from recolor_cli.model.color_network import ColorNetwork
from recolor_cli.recolorizer import Recolorizer

_COUNT = 24  # pictures


def write_example_page(
    page: ComparisonPage,
    pictures: Sequence[Picture],
    figures: Sequence[ModelFigures],
    networks: Mapping[str, ColorNetwork],
    options: RecolorOptions,
    aged: bool,
    conditions: str,
) -> None:
    """Write the page with some of the pictures, evenly spread over all.

    Parameters
    ----------
    page : ComparisonPage
        With no picture yet.
    pictures, networks, options, aged
        As they were passed to `evaluate`.
    figures : sequence of ModelFigures
        Of each network, in their order.
    conditions : str
        What was measured, and how.

    Raises
    ------
    OutputError
        If the page or a thumbnail cannot be written.
    """
    recolorizers = [Recolorizer(network, options) for network in networks.values()]
    count = min(_COUNT, len(pictures))
    for number in (place * len(pictures) // count for place in range(count)):
        truth = decode_for_measuring(pictures[number])
        shown = age_picture(truth, number) if aged else truth
        row = page.add_picture(
            pictures[number].name, draw_thumbnail(rgb_to_gray(shown)), draw_thumbnail(truth)
        )
        for column, recolorizer in enumerate(recolorizers):
            result = recolorizer.paint(truth, recolorizer.predict(shown))
            note = f"CIEDE2000 {figures[column].differences[number]:.1f}"
            page.add_result(row, column, draw_thumbnail(result), note)
    columns = [
        ComparedModel(
            model.name, f"CIEDE2000 {model.figures.ciede2000:.2f}, L2 {model.figures.l2:.1f}"
        )
        for model in figures
    ]
    page.write(columns, conditions)
