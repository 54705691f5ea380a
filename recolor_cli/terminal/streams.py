"""Standard input and output as bytes, whether buffered or not; errors if closed or full.

Standard error, where messages go, never stops the work.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import BinaryIO, TextIO

from recolor_cli.errors import InputError, OutputError

_CHUNK = 1 << 16
_POLL_SECONDS = 0.1
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


def wait_for_input(descriptor: int | None, stop: threading.Event) -> bool:
    """Wait until a stream has bytes or has ended; False if `stop` is set before that.

    A thread that reads a pipe cannot be stopped while nothing comes.

    Parameters
    ----------
    descriptor : int or None
        None is standard input.
    stop : threading.Event
    """
    if sys.platform == "win32":  # its `select` knows no pipes
        return True
    try:
        number = sys.stdin.fileno() if descriptor is None else descriptor
        while not stop.is_set():
            if select.select([number], [], [], _POLL_SECONDS)[0]:
                return True
    except (AttributeError, OSError, ValueError):  # it is closed, as its reader will say
        return True
    return False


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
    try:
        sys.stdout.flush()
        _write_all(_unbuffered(sys.stdout), data)
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


class _Messages(io.RawIOBase):
    """Standard error that drops what it cannot write.

    Parameters
    ----------
    raw : BinaryIO
        Standard error without a buffer.
    """

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the number of the file."""
        return self._raw.fileno()

    def isatty(self) -> bool:
        """Tell whether it is a terminal."""
        return self._raw.isatty()

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Write bytes, or drop them."""
        with contextlib.suppress(OSError):
            _write_all(self._raw, data)
        return len(data)


def tolerate_lost_messages() -> None:
    """Let the program go on where standard error cannot be written to.

    A log on a full disk, or a reader that has ended, must not stop the work in the middle.
    """
    if sys.stderr is not None:
        raw = _Messages(_unbuffered(sys.stderr))
        sys.stderr = io.TextIOWrapper(
            raw, sys.stderr.encoding, sys.stderr.errors, write_through=True
        )


def _unbuffered(stream: TextIO) -> BinaryIO:
    return getattr(stream.buffer, "raw", stream.buffer)


def _write_all(raw: BinaryIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        count: int | None = raw.write(rest)
        if count is None:  # no room yet, because another program has set the pipe to not block
            select.select([], [raw], [])
            continue
        rest = rest[count:]


def stdin_is_terminal() -> bool:
    """Tell whether standard input is a terminal."""
    return bool(sys.stdin and not sys.stdin.closed and sys.stdin.isatty())


def stdout_is_terminal() -> bool:
    """Tell whether standard output is a terminal."""
    return bool(sys.stdout and not sys.stdout.closed and sys.stdout.isatty())
