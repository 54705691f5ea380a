"""Counts in messages: one frame is no "1 frames"."""

import pytest

from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.commands.film_run import _format_summary
from recolor_cli.image.probe import _format_pixels
from recolor_cli.system.texts import counted
from recolor_cli.video.film_options import FilmReport


def test_counts():
    assert [counted(number, "cut") for number in (0, 1, 2, 4096)] == [
        "0 cuts", "1 cut", "2 cuts", "4,096 cuts",
    ]  # fmt: skip
    assert _format_pixels(1) == "1 pixel"
    assert _format_pixels(OutputOptions().max_pixels) == "500 megapixels"


@pytest.mark.parametrize(("frames", "cuts", "said"), [(1, 1, "1 frame in"), (2, 2, "2 frames in")])
def test_a_film_of_one_frame(frames, cuts, said):
    line = _format_summary(FilmReport(frames=frames, cuts=cuts), 2.0)
    assert line.startswith(said)
    assert line.endswith("1 cut" if cuts == 1 else "2 cuts")
