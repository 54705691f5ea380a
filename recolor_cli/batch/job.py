"""One input and the place of its result."""

from __future__ import annotations

import re
from typing import NamedTuple

from recolor_cli.errors import RecolorError

STREAM = "-"  # as a source: standard input; as a destination: standard output
_STDIN = ("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d+)")


def as_stream(name: str) -> str:
    """Return `STREAM` for the names that standard input has, and others as they are."""
    return STREAM if name in _STDIN else name


def descriptor_of(name: str) -> int | None:
    """Return the number of a descriptor that this process was started with; None of a file.

    A shell's ``<(command)`` has such a name. It means nothing in another process.
    """
    match = _DESCRIPTOR.fullmatch(name)
    return int(match[1]) if match else None


def is_stream(name: str) -> bool:
    """Tell whether an input is standard input, or another descriptor of this process."""
    return as_stream(name) == STREAM or descriptor_of(name) is not None


class Job(NamedTuple):
    """One input and the place of its result.

    A plan pickles millions of them, so it is a tuple, which is read in a third of the time.

    Parameters
    ----------
    source, destination : str
        Paths, or `STREAM`. The destination is empty where `error` came before it was known.
    error : RecolorError or None
        Why the job must not be tried.
    backup : str
        Path that the input gets, because the result takes its name; empty otherwise.
    is_unsupported : bool
        Whether it was found in a folder and `error` says that its format cannot be read: this is
        reported, but no failure.
    redo : bool
        Whether an existing result was made from an earlier state of the input.
    is_of_other_shard : bool
        Whether another run does it. It is planned here, too, so that all find the same conflicts.
    """

    source: str
    destination: str = ""
    error: RecolorError | None = None
    backup: str = ""
    is_unsupported: bool = False
    redo: bool = False
    is_of_other_shard: bool = False
