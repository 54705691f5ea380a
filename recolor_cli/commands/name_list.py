"""Read the names of inputs from a list, as it comes in."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from recolor_cli.errors import InputError, NoInputsError


def inputs_and_list(inputs: Sequence[str], path: str, null: bool) -> Iterator[str]:
    """Yield the inputs of the command line, and then the names that a list holds.

    Parameters
    ----------
    inputs : sequence of str
    path : str
        Of the list; ``-`` is standard input.
    null : bool
        Whether names end in NUL instead of a newline.

    Raises
    ------
    NoInputsError
        If there is no name at all; at once, not when the names are asked for.
    InputError
        If the list cannot be read.
    """
    listed = _read_names(path, null)
    first = next(listed, None)
    if first is not None:
        return itertools.chain(inputs, [first], listed)
    if not inputs:
        raise NoInputsError(
            f"--files-from {path}: the list is empty", "check the command that writes the list"
        )
    return iter(inputs)


def _read_names(path: str, null: bool) -> Iterator[str]:
    from recolor_cli.system.texts import to_utf8
    from recolor_cli.terminal.streams import chunks, records, stdin

    with contextlib.ExitStack() as stack:
        try:
            source = stdin() if path == "-" else stack.enter_context(Path(path).open("rb"))
            for line in records(to_utf8(chunks(source)), b"\0" if null else b"\n"):
                if b"\0" in line:
                    raise InputError(
                        f"the list {path} has NULs between names",
                        "add -0, or end them in newlines",
                    )
                name = os.fsdecode(line if null else line.removesuffix(b"\r"))
                if name:
                    yield f"./{name}" if name == "-" else name  # in a list it is a file
        except ValueError as error:
            advice = "write it in UTF-8, one name a line"
            raise InputError(f"cannot read the list {path}: {error}", advice) from error
        except OSError as error:
            advice = "check the name, or use - for standard input"
            raise InputError(f"cannot read the list {path}: {error.strerror}", advice) from error
