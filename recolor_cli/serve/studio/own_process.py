"""Do what decodes files in a process of its own, so that a crash there costs one picture."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import ParamSpec, TypeVar

from recolor_cli.errors import InputError
from recolor_cli.system.blocked_signals import blocked_signals

_P = ParamSpec("_P")
_T = TypeVar("_T")

_TRIES = 2  # a process may also die because another program needed memory


class OwnProcess:
    """A process that does one thing at a time. It starts when needed, and again when it died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None

    def call(self, function: Callable[_P, _T], /, *args: _P.args, **keywords: _P.kwargs) -> _T:
        """Return what a function returns, which must be importable; or raise its error.

        Raises
        ------
        InputError
            If the process dies at each try.
        """
        with self._lock:
            for _ in range(_TRIES):
                # Not forked: this process has threads, and networks that would be copied.
                spawn = get_context("spawn")
                pool = self._pool or ProcessPoolExecutor(1, spawn, _end_with_parent)
                self._pool = pool
                try:
                    with blocked_signals():  # Ctrl-C is for the server, which ends its processes
                        future = pool.submit(function, *args, **keywords)
                    return future.result()
                except BrokenProcessPool:
                    self._pool = None
        raise InputError("the process that read it crashed", "it is broken: save it anew elsewhere")

    def close(self) -> None:
        """Let the process end after what it does; this does not wait for it."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool:
            pool.shutdown(wait=False, cancel_futures=True)


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
