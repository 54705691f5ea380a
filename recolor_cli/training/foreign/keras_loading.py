"""Load Keras so that it computes in torch, on the CPU."""

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
    """Return Keras with torch as its backend, whatever backend the user has set.

    Raises
    ------
    UsageError
        If it is not installed, or was loaded before with another backend.
    """
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "torch"  # read at the import alone
    try:
        import keras
    except ImportError as error:
        raise UsageError(
            f"a Keras file needs the package keras: {error}", "pip install 'recolor-cli[keras]'"
        ) from error
    if (backend := keras.backend.backend()) != "torch":
        raise UsageError(
            f"Keras is already loaded with the backend {backend}", "set KERAS_BACKEND=torch before"
        )
    return keras


@contextlib.contextmanager
def keras_on_cpu(keras: Any) -> Iterator[None]:
    """Make Keras compute on the CPU."""
    with keras.device("cpu"), warnings.catch_warnings():
        # Keras' variables lack the `copy` argument of numpy 2.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        yield
