"""Read the files that guide a run: palettes, hints and masks, as options name them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from recolor_cli.errors import InputError, UsageError
from recolor_cli.system.named_files import LOCAL_FILES, LocalFiles, NamedFiles
from recolor_cli.system.places import local_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from recolor_cli.guidance.recolor_options import Steering


def steering_of(
    palette: str | None,
    palette_strength: float | None,
    hints: Sequence[str] = (),
    pick: int | None = None,
    seed: int | None = None,
    files: NamedFiles = LOCAL_FILES,
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
        None if palette is None else load_palette(palette, files),
        DEFAULT_STRENGTH if palette_strength is None else palette_strength,
        load_hints(hints, files) if hints else None,
        pick=1 if pick is None else pick,
        seed=0 if seed is None else seed,
    )


def read_mask(path: str | None, files: NamedFiles = LOCAL_FILES) -> NDArray[np.uint8] | None:
    """Read the picture that says where to recolor; None if none is given.

    Raises
    ------
    UsageError
        If it cannot be read.
    """
    if path is None:
        return None
    if not path:
        raise UsageError("--mask is empty", "check the quotes and variables")
    from recolor_cli.image.decode import decode_mask
    from recolor_cli.image.unsupported import check_format
    from recolor_cli.system.storage import read

    try:
        if isinstance(files, LocalFiles):  # which may be pipes
            return decode_mask(read(local_name(path), check_format)[0], files.max_pixels)
        if not files.exists(path):
            raise InputError("no such file came with the request", "send it, too")
        return decode_mask(files.read(path), files.max_pixels)
    except InputError as error:
        raise UsageError(f"--mask {path}: {error.message}", error.hint) from error
