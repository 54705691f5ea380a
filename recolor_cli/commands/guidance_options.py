"""Options that guide the choice of colors in pictures, and the files that guide it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recolor_cli.batch.sidecar_names import MAX_VARIANTS
from recolor_cli.commands.options import add_options
from recolor_cli.errors import InputError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from recolor_cli.guidance.recolor_options import Steering

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


def steering_of(
    palette: str | None,
    palette_strength: float | None,
    hints: Sequence[str] = (),
    pick: int | None = None,
    seed: int | None = None,
) -> Steering | None:
    """Read palette and hints; None if nothing is given.

    Raises
    ------
    UsageError
        If a palette or a hint cannot be read.
    """
    if palette_strength is not None and palette is None:
        raise UsageError("--palette-strength goes with --palette", "add it, or leave it out")
    if palette is None and not hints and pick is None and seed is None:
        return None
    from recolor_cli.guidance.hint_files import load_hints
    from recolor_cli.guidance.palette_files import load_palette
    from recolor_cli.guidance.recolor_options import DEFAULT_STRENGTH, Steering

    return Steering(
        None if palette is None else load_palette(palette),
        DEFAULT_STRENGTH if palette_strength is None else palette_strength,
        load_hints(hints) if hints else None,
        pick=1 if pick is None else pick,
        seed=0 if seed is None else seed,
    )


def read_mask(path: str | None) -> NDArray[np.uint8] | None:
    """Read the picture that says where to recolor; None if none is given.

    Raises
    ------
    UsageError
        If it cannot be read.
    """
    if not path:
        return None
    from recolor_cli.image.decode import decode_mask
    from recolor_cli.image.unsupported import check_format
    from recolor_cli.system.files import read

    try:
        return decode_mask(read(Path(path), check_format).data)
    except InputError as error:
        raise UsageError(f"--mask {path}: {error.message}", error.hint) from error
