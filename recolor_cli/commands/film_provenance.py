"""Describe the options of films for the provenance of their results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from recolor_cli.batch.run_provenance import digest_arrays, number_text

if TYPE_CHECKING:
    from recolor_cli.video.film_options import FilmOptions
    from recolor_cli.video.references import Reference


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


def _reference_options(references: Sequence[Reference]) -> list[tuple[str, str]]:
    texts = [
        f"{number_text(still.time)}={Path(still.name).name} {digest_arrays(still.rgb)}"
        for still in references
    ]
    return [("reference", "; ".join(texts))] if texts else []
