"""Standard input and output as bytes, also where they are unbuffered, closed or full."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Iterator
from typing import BinaryIO

from recolor_cli.errors import InputError, OutputError

_CHUNK = 1 << 16
_LONGEST_PART = 1 << 20  # bytes; a path has a few thousand


def stdin() -> BinaryIO:
    """Return standard input as bytes.

    Raises
    ------
    InputError
        If it is closed.
    """
    try:
        return sys.stdin.buffer
    except (AttributeError, ValueError) as error:  # None, or closed
        raise InputError("standard input cannot be read", "pipe something in") from error


def parts(source: BinaryIO, end: bytes) -> Iterator[bytes]:
    """Yield what lies between ends of one byte, as it comes in.

    Raises
    ------
    InputError
        If an end does not come.
    """
    rest = b""
    # Without the buffer: whoever waits for more holds its lock, without which Python cannot exit.
    raw = getattr(source, "raw", source)
    while (chunk := raw.read(_CHUNK)) != b"":
        if chunk is None:  # nothing yet: another program has told the pipe not to block
            select.select([raw], [], [])
            continue
        *whole, rest = (rest + chunk).split(end)
        yield from whole
        if len(rest) > _LONGEST_PART:
            raise InputError("a name in the list has no end", "is it a list of names, one a line?")
    if rest:
        yield rest


def write_stdout(data: bytes) -> None:
    """Write all of some bytes to standard output.

    Raises
    ------
    OutputError
        If it is closed, its reader is gone, or its disk is full.
    """
    rest = memoryview(data)
    try:
        while rest:  # unbuffered (PYTHONUNBUFFERED), a write may take only a part
            rest = rest[sys.stdout.buffer.write(rest) :]
        sys.stdout.buffer.flush()
    except (AttributeError, OSError, ValueError) as error:
        abandon_stdout()
        reason = getattr(error, "strerror", None) or "it is closed"
        raise OutputError(
            f"cannot write to standard output: {reason}", "redirect it to where there is room"
        ) from error


def abandon_stdout() -> None:
    """Let what is left in the buffers go nowhere: else Python fails on it once more at exit."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.stdout.flush()


def stdin_is_terminal() -> bool:
    """Tell whether someone would have to type a picture."""
    return bool(sys.stdin and not sys.stdin.closed and sys.stdin.isatty())


def stdout_is_terminal() -> bool:
    """Tell whether someone would see bytes on the screen."""
    return bool(sys.stdout and not sys.stdout.closed and sys.stdout.isatty())
