"""Keep what libraries print, from Python or from native code, off stdout and stderr."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator

_lock = threading.Lock()  # the two streams belong to the whole process


@contextlib.contextmanager
def capture_output() -> Iterator[list[str]]:
    """Keep everything printed in a ``with`` block off stdout and stderr; its lines fill the list.

    onnxruntime prints some failures to stdout, which carries nothing but data here, and others to
    stderr; torch prints the graphs that it cannot translate. The list is empty until the block
    ends. Blocks of several threads run one after the other. A thread must not nest them.
    """
    lines: list[str] = []
    with _lock, contextlib.ExitStack() as stack:
        file = stack.enter_context(tempfile.TemporaryFile("w+", errors="replace"))
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, OSError, ValueError):  # closed, or None
                stream.flush()
        for descriptor in (1, 2):  # native code writes to these
            with contextlib.suppress(OSError):  # closed, so that nothing can be printed there
                saved = os.dup(descriptor)
                stack.callback(os.close, saved)
                stack.callback(os.dup2, saved, descriptor)
                os.dup2(file.fileno(), descriptor)
        # Python's own streams need not write to the descriptors 1 and 2.
        stack.enter_context(contextlib.redirect_stdout(file))
        stack.enter_context(contextlib.redirect_stderr(file))
        try:
            yield lines
        finally:
            file.flush()
            file.seek(0)
            lines += file.read().splitlines()
