"""Options that guide the choice of colors in pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from recolor_cli.batch.sidecar_names import MAX_VARIANTS
from recolor_cli.commands.options import add_options

_OPTIONS = (
    click.option(
        "--variants",
        type=click.IntRange(2, MAX_VARIANTS),
        metavar="N",
        help="Write N different colorings, NAME and NAME-2 to NAME-N, and a sheet, NAME-variants.",
    ),
    click.option(
        "--hint",
        multiple=True,
        metavar="X,Y,COLOR|FILE",
        help="A color at a pixel, as in 120,80,red; or JSON of such, or a PNG with strokes. Can be "
        "given often.",
    ),
    click.option(
        "--confidence",
        is_flag=True,
        help="Write where the network was sure, as NAME-confidence; list the least certain.",
    ),
)


def steering_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command."""
    return add_options(command, *_OPTIONS)
