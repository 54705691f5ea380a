"""Options that guide the choice of colors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from recolor_cli.commands.options import Number, add_options
from recolor_cli.errors import UsageError

if TYPE_CHECKING:
    from recolor_cli.guidance.recolor_options import Steering

_OPTIONS = (
    click.option(
        "--variants",
        type=click.IntRange(2, 16),
        metavar="N",
        help="Write N different colorings too, as NAME-1 to NAME-N, and a sheet, NAME-variants.",
    ),
    click.option("--seed", type=click.IntRange(0), metavar="N", help="Which variants. [0]"),
    click.option(
        "--palette",
        metavar="FILE|COLORS",
        help='Pull colors toward a picture, a .gpl, .ase or .aco palette, or "#c8102e,gold".',
    ),
    click.option(
        "--palette-strength", type=Number(0, 1), metavar="N", help="How far: 0 not, 1 all. [0.8]"
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


def steering_of(
    palette: str | None, palette_strength: float | None, hints: Sequence[str]
) -> Steering | None:
    """Read palette and hints; None if neither is given.

    Raises
    ------
    UsageError
        If a palette or a hint cannot be read.
    """
    if palette_strength is not None and palette is None:
        raise UsageError("--palette-strength goes with --palette", "add it, or leave it out")
    if palette is None and not hints:
        return None
    from recolor_cli.guidance.hint_files import load_hints
    from recolor_cli.guidance.palette_files import load_palette
    from recolor_cli.guidance.recolor_options import DEFAULT_STRENGTH, Steering

    return Steering(
        None if palette is None else load_palette(palette),
        DEFAULT_STRENGTH if palette_strength is None else palette_strength,
        load_hints(hints) if hints else None,
    )
