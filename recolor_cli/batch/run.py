"""Many pictures: a window of jobs at work, and how each ended, in their order."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Protocol

from recolor_cli.batch.outcome import Outcome, Status, not_tried
from recolor_cli.batch.plan import STREAM, Job, OutputOptions, is_done, missing_comparison_sidecars
from recolor_cli.errors import InputError
from recolor_cli.system.files import remove_leftovers

POLL_SECONDS = 0.1  # s; how soon an interruption is seen while the list of jobs is waited for
PREFETCH_DEPTH = 64  # jobs of a list that are read before they are asked for


class Workers(Protocol):
    """Whoever does jobs: threads of this process, or a process of their own."""

    @property
    def count(self) -> int:
        """How many jobs are worked on at a time."""
        ...

    def submit(self, job: Job) -> Future[Outcome]:
        """Have a job done; whatever goes wrong with it is in the outcome."""
        ...

    def stop(self) -> None:
        """Begin nothing more: what is begun is finished, other futures are cancelled."""
        ...

    def close(self) -> None:
        """Wait until what is begun is finished."""
        ...


def run(
    jobs: Iterable[Job], workers: Workers, stop: threading.Event | None = None
) -> Iterator[Outcome]:
    """Have the jobs done and yield how each ended, in their order, as soon as it has.

    Parameters
    ----------
    jobs : iterable of Job
        May block, as a list does that comes through a pipe: what is done is yielded meanwhile.
    workers : Workers
        They are closed at the end.
    stop : threading.Event or None
        Once set, what is begun is finished and yielded, and the rest is not begun.
    """
    stop = stop or threading.Event()
    cancelled = threading.Event()
    # The window: with one waiting for each that is at work, nobody is idle. It bounds the memory.
    slots = threading.Semaphore(2 * workers.count + 2)
    begun: queue.SimpleQueue[Future[Outcome] | BaseException | None] = queue.SimpleQueue()

    def feed() -> None:
        clean: set[Path] = set()
        try:
            for job in jobs:
                slots.acquire()
                if cancelled.is_set():
                    return
                folder = Path(job.destination).parent
                if job.destination != STREAM and folder not in clean:
                    clean.add(folder)
                    remove_leftovers(folder)
                begun.put(workers.submit(job))
            begun.put(None)
        except BaseException as error:  # it is the caller's: the list cannot be read, say
            begun.put(error)

    # It may hang in reading the list when all else has ended, hence a daemon.
    threading.Thread(target=feed, name="recolor-jobs", daemon=True).start()
    try:
        while True:
            try:
                item = begun.get(timeout=POLL_SECONDS)
            except queue.Empty:
                if stop.is_set():
                    return
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                if not stop.is_set():
                    raise item
                return
            while True:
                if stop.is_set() and not cancelled.is_set():
                    cancelled.set()
                    workers.stop()
                try:
                    outcome = item.result(None if cancelled.is_set() else POLL_SECONDS)
                except TimeoutError:  # it takes long: meanwhile others begin, unless told to stop
                    continue
                except CancelledError:
                    break
                yield outcome
                slots.release()
                break
    finally:  # closed early: what is begun is finished, the rest is not begun
        cancelled.set()
        slots.release()
        workers.close()


def prefetch(stop: threading.Event, jobs: Iterable[Job]) -> Iterator[Job]:
    """Yield jobs as they come, and end when stopped, also while the next one is waited for.

    Parameters
    ----------
    stop : threading.Event
    jobs : iterable of Job
        May block. It is read a little ahead.
    """
    read: queue.Queue[Job | BaseException | None] = queue.Queue(PREFETCH_DEPTH)

    def feed() -> None:
        try:
            for job in jobs:
                read.put(job)
            read.put(None)
        except BaseException as error:  # it is the caller's: the list cannot be read, say
            read.put(error)

    # It may hang in reading the list when all else has ended, hence a daemon.
    threading.Thread(target=feed, name="recolor-list", daemon=True).start()
    while not stop.is_set():
        try:
            item = read.get(timeout=POLL_SECONDS)
        except queue.Empty:
            continue
        if item is None:
            return
        if isinstance(item, BaseException):
            raise item
        yield item


def dry_run(jobs: Iterable[Job], options: OutputOptions) -> Iterator[Outcome]:
    """Yield what `run` would do, as far as that shows without reading a picture."""
    for job in jobs:
        if job.error:
            yield not_tried(job, job.error)
        elif job.source != STREAM and not os.path.exists(job.source):
            yield Outcome(job, Status.FAILED, InputError("no such file", "check the name"))
        elif is_done(job, options):
            yield Outcome(job, Status.SKIPPED)
        else:
            yield Outcome(job, Status.PLANNED)


def has_work(job: Job, options: OutputOptions) -> bool:
    """Tell whether something is to be done for a job: its result, or what belongs beside it."""
    if job.error:
        return False
    return (
        not is_done(job, options)
        or options.thumbnails
        or bool(missing_comparison_sidecars(job, options))
    )
