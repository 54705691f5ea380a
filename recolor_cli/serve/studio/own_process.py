"""Do what decodes files in a process of its own, so that a crash there costs one picture."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import ParamSpec, TypeVar

from recolor_cli.batch.supervisor import took_too_long
from recolor_cli.errors import InputError
from recolor_cli.serve.problems import server_stops
from recolor_cli.system.blocked_signals import blocked_signals

_P = ParamSpec("_P")
_T = TypeVar("_T")

_TRIES = 2  # a process may also die because another program needed memory


class OwnProcess:
    """A process that does one thing at a time. It starts when needed, and again when it died.

    Parameters
    ----------
    seconds : float or None
        Time for each thing, without the start of the process; what takes longer is ended.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._is_stopped = False

    def call(self, function: Callable[_P, _T], /, *args: _P.args, **keywords: _P.kwargs) -> _T:
        """Return what a function returns, which must be importable; or raise its error.

        Raises
        ------
        InputError
            If the process dies at each try, or it takes too long.
        RefusedError
            If `stop` comes before it begins, or `close` before it ends.
        """
        with self._lock:
            for _ in range(_TRIES):
                if self._is_stopped:
                    raise server_stops()
                try:
                    pool = self._pool or self._start(function)
                    return pool.submit(function, *args, **keywords).result(self._seconds)
                except BrokenProcessPool:
                    self._pool = None
                except TimeoutError:
                    self._kill()
                    assert self._seconds is not None
                    raise took_too_long(self._seconds) from None
        raise InputError("the process that read it crashed", "it is broken: save it anew elsewhere")

    def _start(self, function: Callable[..., object]) -> ProcessPoolExecutor:
        """Start the process, and let it import what a function needs."""
        # Not forked: this process has threads, and networks that would be copied.
        pool = self._pool = ProcessPoolExecutor(1, get_context("spawn"), _end_with_parent)
        with blocked_signals():  # Ctrl-C is for the server, which ends its processes
            started = pool.submit(callable, function)
        started.result()
        return pool

    def stop(self) -> None:
        """Refuse what has not begun, also what waits; what has begun is finished."""
        self._is_stopped = True

    def close(self) -> None:
        """Stop, and end the process, whatever it does."""
        self.stop()
        self._kill()

    def _kill(self) -> None:
        pool, self._pool = self._pool, None
        if pool:
            for process in list(pool._processes.values()):
                process.kill()


def _end_with_parent() -> None:
    """Let this process end as soon as its parent has, however that ended.

    It would wait for work for ever, because it holds both ends of the queue.
    """
    parent = parent_process()
    assert parent

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, name="recolor-parent", daemon=True).start()
