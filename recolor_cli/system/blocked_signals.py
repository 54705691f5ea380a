"""Keep signals from processes that are started."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def blocked_signals() -> Iterator[None]:
    """Keep signals to stop from a process that is started inside: its parent tells it when.

    Ctrl-C goes to all processes of a terminal, as does SIGHUP when it is closed, and a service's
    SIGTERM to all processes of the service.
    """
    if sys.platform == "win32":
        yield
        return
    # The process inherits the mask. Signals to this one are delivered afterwards.
    stops = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
