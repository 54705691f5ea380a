"""Read, write and remove files and objects by name, wherever they are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from recolor_cli.system import files, stores
from recolor_cli.system.places import is_address


def read(
    place: str, check: Callable[[bytes], None] | None = None
) -> tuple[bytes, os.stat_result | None]:
    """Return the bytes of a file or an object, and the status of a file.

    Parameters
    ----------
    place : str
    check : callable or None
        As in `files.read`.

    Raises
    ------
    InputError
        If it is missing or cannot be read.
    """
    if is_address(place):
        return stores.read(place), None
    source = files.read(Path(place), check)
    return source.data, source.status


@contextmanager
def writing(
    place: str,
    like: os.stat_result | None = None,
    keep_times: bool = False,
    mount: Path | None = None,
) -> Iterator[BinaryIO]:
    """Write a file as `files.writing` does, or an object as `stores.writing` does."""
    if is_address(place):
        with stores.writing(place) as file:
            yield file
    else:
        with files.writing(Path(place), like, keep_times, mount) as file:
            yield file


def write(place: str, data: bytes, like: os.stat_result | None = None) -> None:
    """Write bytes, so that they are there whole or not at all; raises OutputError."""
    if is_address(place):
        stores.write(place, data)
    else:
        files.write_atomic(Path(place), data, like)


def remove(place: str) -> None:
    """Remove a file or an object, if there is one and that is allowed."""
    if is_address(place):
        stores.remove(place)
    else:
        with suppress(OSError):  # it cannot be written either, which is reported then
            Path(place).unlink(missing_ok=True)
