"""Keras, computing in torch on the CPU."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from recolor_cli.errors import UsageError

SUFFIXES = (".keras", ".h5", ".hdf5")


def load_keras() -> Any:
    """Return Keras, computing in torch, whatever else the user has set for it.

    Raises
    ------
    UsageError
        If it is not installed, or was loaded before and computes in something else.
    """
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "torch"  # looked at once, at the import
    try:
        import keras
    except ImportError as error:
        raise UsageError(
            f"a Keras file needs the package keras: {error}", "pip install 'recolor-cli[keras]'"
        ) from error
    if (backend := keras.backend.backend()) != "torch":
        raise UsageError(
            f"Keras already computes in {backend} here", "set KERAS_BACKEND=torch before"
        )
    return keras


@contextlib.contextmanager
def keras_on_cpu(keras: Any) -> Iterator[None]:
    """Let Keras compute on the CPU."""
    with keras.device("cpu"), warnings.catch_warnings():
        # Keras' variables do not yet know numpy 2's way of saying it.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        yield
