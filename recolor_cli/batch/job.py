"""One input and the place of its result."""

from __future__ import annotations

from dataclasses import dataclass

from recolor_cli.errors import RecolorError

STREAM = "-"  # as a source: standard input; as a destination: standard output


@dataclass(frozen=True, slots=True)
class Job:
    """One input and the place of its result.

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
    """

    source: str
    destination: str = ""
    error: RecolorError | None = None
    backup: str = ""
    is_unsupported: bool = False
    redo: bool = False
