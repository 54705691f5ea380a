"""Make the provenance of a run: program, model, and options that change pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recolor_cli.image.provenance import Provenance, pick_options, plain_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recolor_cli.guidance.recolor_options import RecolorOptions, Steering

_DIGEST_SIZE = 8  # bytes


def run_provenance(model: str, options: Sequence[tuple[str, str]]) -> Provenance:
    """Return the provenance that all results of a run share.

    Parameters
    ----------
    model : str
        Name or path.
    options : sequence of (str, str)
        As in `Provenance`.

    Raises
    ------
    ModelError
        If there is no such model.
    """
    from recolor_cli.model.model_files import digest_model

    return Provenance(
        model=plain_text(Path(model).name),
        model_digest=digest_model(model),
        options=tuple((name, plain_text(value)) for name, value in options),
    )


def describe_colors(
    options: RecolorOptions,
    mask: str | None = None,
    palette: str | None = None,
    hints: Sequence[str] = (),
) -> list[tuple[str, str]]:
    """Return the options of a recoloring as texts.

    Parameters
    ----------
    options : RecolorOptions
    mask, palette : str or None
        As they were given. A file is described by its name and a hash of its contents.
    hints : sequence of str
        As they were given.
    """
    found = [("strength", number_text(options.strength))]
    if options.temperature is not None:
        found.append(("temperature", number_text(options.temperature)))
    if options.keep_original:
        found.append(("keep-original", number_text(options.keep_original)))
    if options.only_gray:
        found.append(("only-gray", ""))
    if options.mask is not None:
        found.append(("mask", f"{Path(mask or '').name} {digest_arrays(options.mask)}"))
    if options.steering:
        found += _steering_options(options.steering, palette or "", hints)
    return found


def number_text(number: float) -> str:
    """Return a number as people write it: 1, not 1.0."""
    return f"{number:.12g}"


def digest_arrays(*parts: NDArray[Any] | bytes) -> str:
    """Return a hash of the contents of files, as arrays or bytes."""
    digest = hashlib.blake2b(digest_size=_DIGEST_SIZE)
    for part in parts:
        digest.update(repr(getattr(part, "shape", "")).encode())
        digest.update(part if isinstance(part, bytes) else part.tobytes())
    return digest.hexdigest()


def _steering_options(
    steering: Steering, palette: str, hints: Sequence[str]
) -> list[tuple[str, str]]:
    found = []
    if steering.palette:
        colors = digest_arrays(steering.palette.ab, steering.palette.shares)
        found.append(("palette", f"{Path(palette).name} {colors}"))
        found.append(("palette-strength", number_text(steering.palette_strength)))
    if steering.hints:
        points = repr([hint.given for hint in steering.hints.points])
        strokes = [
            part
            for drawn in steering.hints.scribbles
            for part in (drawn.rows, drawn.columns, drawn.ab)
        ]
        names = "; ".join(Path(hint).name for hint in hints)
        found.append(("hint", f"{names} {digest_arrays(points.encode(), *strokes)}"))
    return found + pick_options(steering.pick, steering.seed)
