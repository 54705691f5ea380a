"""Standard input and output as bytes, whether buffered or not; errors if closed or full."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from recolor_cli.errors import InputError, OutputError

_CHUNK = 1 << 16
_LONGEST_RECORD = 1 << 20  # bytes; a path has a few thousand


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


def chunks(source: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes of a stream as they come."""
    # Read without Python's buffer: a thread that waits for more would hold the buffer's lock, and
    # Python needs that lock to exit.
    raw = getattr(source, "raw", source)
    while (chunk := raw.read(_CHUNK)) != b"":
        if chunk is None:  # nothing yet, because another program has set the pipe to not block
            select.select([raw], [], [])
            continue
        yield chunk


def records(chunks: Iterable[bytes], separator: bytes) -> Iterator[bytes]:
    """Yield the records of a stream, split at a one-byte separator, each as soon as it is complete.

    Raises
    ------
    InputError
        If a record is longer than `_LONGEST_RECORD`.
    """
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(separator)
        yield from whole
        if len(rest) > _LONGEST_RECORD:
            raise InputError("a name in the list has no end", "is it a list of names, one a line?")
    if rest:
        yield rest


def write_stdout(data: bytes) -> None:
    """Write bytes to standard output, all of them.

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
        if isinstance(error, BrokenPipeError):
            raise OutputError(
                "the program that reads standard output has ended", "see why it did not read on"
            ) from error
        reason = getattr(error, "strerror", None) or "it is closed"
        raise OutputError(
            f"cannot write to standard output: {reason}", "redirect it to where there is room"
        ) from error


def abandon_stdout() -> None:
    """Discard what is left in the buffers, because Python would fail on it again at exit."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.stdout.flush()


def stdin_is_terminal() -> bool:
    """Tell whether standard input is a terminal."""
    return bool(sys.stdin and not sys.stdin.closed and sys.stdin.isatty())


def stdout_is_terminal() -> bool:
    """Tell whether standard output is a terminal."""
    return bool(sys.stdout and not sys.stdout.closed and sys.stdout.isatty())
