"""Hash the source, the model and the options that the encoded frames of a film depend on."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from importlib import metadata
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from recolor_cli.model.manifest import Manifest
from recolor_cli.video.encoding import VideoEncoding
from recolor_cli.video.film_options import FilmOptions
from recolor_cli.video.film_reader import FilmReader


def compute_fingerprint(
    film: FilmReader, manifest: Manifest, options: FilmOptions, encoding: VideoEncoding
) -> str:
    """Return a hash that is equal for two runs only if one can continue what the other began."""
    if film.is_pipe:  # cannot be read again, so nothing continues it
        identity: Any = os.urandom(16).hex()
    elif film.is_sequence:
        files = [(number, *version) for number, version in sorted(film.pictures.items())]
        identity = (os.path.abspath(film.source), files)
    else:
        status = os.stat(film.source)
        identity = (os.path.abspath(film.source), status.st_size, status.st_mtime_ns)
    inputs = {
        "source": identity,
        "encoding": encoding,
        "options": options,
        "steering": _digest_steering(options),
        "info": film.info,
        "model": asdict(manifest),
        "versions": (metadata.version("recolor-cli"), av.__version__),
    }
    return hashlib.blake2b(json.dumps(inputs, default=str).encode(), digest_size=16).hexdigest()


def _digest_steering(options: FilmOptions) -> str:
    """Return a hash of the arrays in the options, which have no text."""
    recolor = options.recolor
    arrays: list[NDArray[Any]] = [] if recolor.mask is None else [recolor.mask]
    if recolor.steering and recolor.steering.palette:
        palette = recolor.steering.palette
        arrays += [palette.ab, palette.shares, np.array(recolor.steering.palette_strength)]
    for reference in options.references:
        arrays += [np.array(reference.time), reference.rgb]
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
