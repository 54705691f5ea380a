"""Gather how the results of a run are made: program, model, and options that change pixels."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recolor_cli.image.provenance import Provenance, pick_options, plain_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from recolor_cli.guidance.recolor_options import RecolorOptions, Steering
    from recolor_cli.video.film_options import FilmOptions
    from recolor_cli.video.references import Reference

_DIGEST_SIZE = 8  # bytes


def run_provenance(model: str, options: Sequence[tuple[str, str]]) -> Provenance:
    """Return how the results of a run are made, without what differs from job to job.

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
        As they were given. Files are told by their names and by a hash of what was read.
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
        found.append(("mask", f"{Path(mask or '').name} {_digest(options.mask)}"))
    if options.steering:
        found += _steering_options(options.steering, palette or "", hints)
    return found


def describe_film_options(
    options: FilmOptions, raw: str | None, rate: Fraction | None
) -> list[tuple[str, str]]:
    """Return the options that only a film has as texts.

    Parameters
    ----------
    options : FilmOptions
    raw : str or None
        As it was given.
    rate : Fraction or None
        Frames per second, if it was given.
    """
    encoding, alpha = options.encoding, options.temporal_smoothing
    found = _reference_options(options.references)
    found.append(("smoothing", "off" if math.isinf(alpha) else number_text(alpha)))
    found.append(("scene-threshold", number_text(options.scene_threshold)))
    if options.start:
        found.append(("start", number_text(options.start)))
    texts = {
        "duration": None if options.duration is None else number_text(options.duration),
        "codec": encoding.codec,
        "crf": None if encoding.quality is None else str(encoding.quality),
        "pixel-format": encoding.pixel_format,
        "encoder-option": " ".join(f"{key}={value}" for key, value in encoding.settings) or None,
        "raw": raw,
        "rate": None if rate is None else str(rate),
    }
    found += [(name, text) for name, text in texts.items() if text is not None]
    flags = {"preview": options.preview, "lossless": encoding.lossless}
    return found + [(name, "") for name, is_set in flags.items() if is_set]


def _steering_options(
    steering: Steering, palette: str, hints: Sequence[str]
) -> list[tuple[str, str]]:
    found = []
    if steering.palette:
        colors = _digest(steering.palette.ab, steering.palette.shares)
        found.append(("palette", f"{Path(palette).name} {colors}"))
        found.append(("palette-strength", number_text(steering.palette_strength)))
    if steering.hints:
        points = repr([(hint.x, hint.y, hint.color) for hint in steering.hints.points])
        strokes = [
            part
            for drawn in steering.hints.scribbles
            for part in (drawn.rows, drawn.columns, drawn.ab)
        ]
        names = "; ".join(Path(hint).name for hint in hints)
        found.append(("hint", f"{names} {_digest(points.encode(), *strokes)}"))
    return found + pick_options(steering.pick, steering.seed)


def _reference_options(references: Sequence[Reference]) -> list[tuple[str, str]]:
    texts = [
        f"{number_text(still.time)}={Path(still.name).name} {_digest(still.rgb)}"
        for still in references
    ]
    return [("reference", "; ".join(texts))] if texts else []


def number_text(number: float) -> str:
    """Return a number as people write it: 1, not 1.0."""
    return f"{number:.12g}"


def _digest(*parts: NDArray[np.generic] | bytes | Any) -> str:
    digest = hashlib.blake2b(digest_size=_DIGEST_SIZE)
    for part in parts:
        digest.update(repr(getattr(part, "shape", "")).encode())
        digest.update(part if isinstance(part, bytes) else part.tobytes())
    return digest.hexdigest()
