"""Pipelines: a stage runs in a thread of its own while the next one is at an earlier item."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import closing
from queue import Empty, SimpleQueue
from typing import TypeVar

_In = TypeVar("_In")
_Out = TypeVar("_Out")

POLL_SECONDS = 0.1  # how soon a stop is noticed while an item is awaited


class _End:
    """The last entry of a queue, with the error that ended the iteration, if any."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def prefetch(
    items: Iterable[_In], depth: int, stop: threading.Event | None = None
) -> Generator[_In]:
    """Yield the items, of which a thread makes up to `depth` before they are asked for.

    Errors of the iteration are raised here. When this generator is closed, the thread ends before
    the next item, closes `items` if that is a generator, and is waited for.

    Parameters
    ----------
    items : iterable
    depth : int
    stop : threading.Event or None
        Once it is set, only the items that are made already are yielded. For items that may be
        awaited for ever, as the lines of a pipe: the thread is not waited for.
    """
    made: SimpleQueue[_In | _End] = SimpleQueue()
    slots = threading.Semaphore(depth)
    closed = threading.Event()

    def make() -> None:
        error: BaseException | None = None
        try:
            iterator = iter(items)
            while slots.acquire() and not closed.is_set() and not (stop and stop.is_set()):
                made.put(next(iterator))
        except StopIteration:
            pass
        except BaseException as raised:
            error = raised
        finally:
            _close(items)
        made.put(_End(error))

    # A daemon, because it may wait for an item for ever.
    thread = threading.Thread(target=make, name="recolor-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            try:
                item = made.get(timeout=POLL_SECONDS if stop else None)
            except Empty:
                if stop and stop.is_set():
                    return
                continue
            if isinstance(item, _End):
                if item.error and not (stop and stop.is_set()):
                    raise item.error
                return
            slots.release()
            yield item
    finally:
        closed.set()
        slots.release()
        if stop is None:
            thread.join()


def ordered_results(
    submit: Callable[[_In], Future[_Out]],
    items: Iterable[_In],
    depth: int,
    stop: threading.Event | None = None,
    cancel: Callable[[], None] | None = None,
) -> Iterator[_Out]:
    """Yield the results of submitted items in the order of the items.

    Parameters
    ----------
    submit : callable
        Begins the work on an item.
    items : iterable
    depth : int
        Number of items that are submitted before their results are asked for.
    stop : threading.Event or None
        As for `prefetch`. The results of cancelled futures are left out.
    cancel : callable or None
        Called once when `stop` is set: it must cancel the futures of work that has not begun.
    """

    def submit_all() -> Iterator[Future[_Out]]:
        try:
            for item in items:
                yield submit(item)
        finally:
            _close(items)

    with closing(prefetch(submit_all(), depth, stop)) as futures:
        for future in futures:
            while True:
                if stop and stop.is_set() and cancel:
                    cancel()
                    cancel = None
                try:
                    # Look for a stop meanwhile, so that no other work begins after it.
                    error = future.exception(POLL_SECONDS if cancel else None)
                except TimeoutError:
                    continue
                except CancelledError:
                    break
                if error:
                    raise error
                yield future.result()
                break


def ordered_parallel_map(
    function: Callable[[_In], _Out], items: Iterable[_In], workers: int
) -> Iterator[_Out]:
    """Yield function(item) in the order of the items, computed by a number of threads."""
    with ThreadPoolExecutor(workers, thread_name_prefix="recolor-map") as pool:
        try:
            yield from ordered_results(lambda item: pool.submit(function, item), items, workers)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _close(items: Iterable[object]) -> None:
    """Close a generator, so that it ends its own threads."""
    if hasattr(items, "close"):
        items.close()
