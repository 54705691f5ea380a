"""Work that overlaps: one stage of a pipeline runs while the next one is at an earlier item."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Full, Queue
from typing import TypeVar

_In = TypeVar("_In")
_Out = TypeVar("_Out")
_PATIENCE = 0.1  # seconds between looks whether anybody still wants it


class _End:
    """The last thing in a queue, with the error that ended the work, if any."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def prefetch(items: Iterable[_In], depth: int) -> Iterator[_In]:
    """Yield the items, of which a thread makes up to `depth` before they are asked for.

    What goes wrong in there is raised here. When this generator is closed, the thread ends before
    the next item, and closes `items` if that is a generator.
    """
    queue: Queue[_In | _End] = Queue(depth)
    closed = threading.Event()

    def offer(item: _In | _End) -> bool:
        while not closed.is_set():
            try:
                queue.put(item, timeout=_PATIENCE)
            except Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not offer(item):
                    return
            offer(_End())
        except BaseException as error:
            offer(_End(error))
        finally:
            if hasattr(items, "close"):
                items.close()

    thread = threading.Thread(target=work, name="recolor-ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(item := queue.get(), _End):
            yield item
        if item.error:
            raise item.error
    finally:
        closed.set()
        thread.join()


def ordered_parallel_map(
    function: Callable[[_In], _Out], items: Iterable[_In], workers: int
) -> Iterator[_Out]:
    """Yield function(item) in the order of the items, several at a time and never far ahead."""
    with ThreadPoolExecutor(workers, thread_name_prefix="recolor-film") as pool:
        waiting: deque[Future[_Out]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
            if hasattr(items, "close"):
                items.close()
