"""Turn Ctrl-C and other signals into an event."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Sequence


class Stop(threading.Event):
    """An event that a signal sets.

    Attributes
    ----------
    signal : int
        Number of the last signal; 0 before there was one.
    """

    signal = 0


def raise_on_interrupt() -> None:
    """Let Ctrl-C raise KeyboardInterrupt, so that a command can remove its temporary files."""
    is_main_thread = threading.current_thread() is threading.main_thread()
    if is_main_thread and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def signals(numbers: Sequence[signal.Signals]) -> Iterator[Stop]:
    """Set an event when one of the signals arrives, so that work in progress is finished."""
    stop, is_setting = Stop(), False
    previous = {number: signal.getsignal(number) for number in numbers}
    # Other threads cannot set handlers.
    is_main_thread = threading.current_thread() is threading.main_thread()

    def on_signal(number: int, frame: object) -> None:
        nonlocal is_setting
        stop.signal = number
        if is_setting:
            return  # a second signal interrupts the handler, and `set` would wait for its own lock
        is_setting = True
        stop.set()

    try:
        if is_main_thread:
            for number in numbers:
                # A caller that ignores it (nohup, a shell's background job) stays in charge.
                if previous[number] is not signal.SIG_IGN:
                    signal.signal(number, on_signal)
        yield stop
    finally:
        if is_main_thread:
            for number in numbers:
                # The process is about to exit; a second signal must not turn that into a failure.
                signal.signal(number, signal.SIG_IGN if stop.is_set() else previous[number])
