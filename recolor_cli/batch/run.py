"""Many pictures: a window of jobs at work, and the outcomes in the order of the jobs."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol

from recolor_cli.batch.job import STREAM, Job, descriptor_of, is_stream
from recolor_cli.batch.outcome import Outcome, Status
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.preflight import Preflight
from recolor_cli.batch.skip_rule import MissingOutputs, expect_results, missing_outputs
from recolor_cli.errors import InputError, RecolorError
from recolor_cli.guidance.recolor_options import RecolorOptions
from recolor_cli.system.places import is_address
from recolor_cli.system.prefetch import ordered_results, prefetch
from recolor_cli.system.stores import LISTINGS
from recolor_cli.system.temporary_files import remove_leftovers
from recolor_cli.terminal.streams import wait_for_input

_Task = tuple[Job, MissingOutputs]
_NO_OPTIONS = RecolorOptions()
_AHEAD = 64  # tasks in advance, so that threads do not wait for each other at each one


class Workers(Protocol):
    """Threads, processes or machines that do jobs."""

    @property
    def count(self) -> int:
        """Number of jobs that are worked on at a time."""
        ...

    @property
    def window(self) -> int:
        """Number of jobs that may be submitted before the outcome of the first one is known.

        With one waiting for each that is at work, no worker is idle. It bounds the memory.
        """
        ...

    @property
    def failure(self) -> RecolorError | None:
        """Why no job can be done any more, or None."""
        ...

    def submit(self, job: Job, missing: MissingOutputs) -> Future[Outcome]:
        """Make the missing outputs of a job; errors are in the outcome."""
        ...

    def stop(self) -> None:
        """Begin no further job and cancel its future; jobs that have begun are finished."""
        ...

    def close(self) -> None:
        """Stop, and wait until the jobs that have begun are finished."""
        ...


def run(
    jobs: Iterable[Job],
    options: OutputOptions,
    open_workers: Callable[[], Workers],
    stop: threading.Event | None = None,
    recolor: RecolorOptions = _NO_OPTIONS,
) -> Iterator[Outcome]:
    """Do the jobs and yield their outcomes in the order of the jobs, each as soon as it is known.

    Parameters
    ----------
    jobs : iterable of Job
        May block, as a list does that comes through a pipe; outcomes are yielded meanwhile.
    options : OutputOptions
    open_workers : callable
        Called for the first job that needs workers, because a run that is done already needs no
        network. The workers are closed at the end.
    stop : threading.Event or None
        Once it is set, jobs that have begun are finished and yielded, and no other one begins.
    recolor : RecolorOptions
        The workers' own, which must fit the pictures that need no worker, too.

    Raises
    ------
    RecolorError
        What `jobs` and `open_workers` raise.
    """
    stop = stop or threading.Event()
    # In a thread, so that a stop is noticed while a job is awaited.
    tasks = prefetch(_without_leftovers(_tasks(jobs, options)), _AHEAD, stop)
    preflight = Preflight(options, recolor)
    for job, missing in tasks:
        if stop.is_set():
            return
        outcome = preflight.outcome(job, missing)
        if outcome is None:
            rest = itertools.chain([(job, missing)], tasks)
            yield from _run_tasks(rest, preflight, open_workers(), stop)
            return
        yield outcome


def run_with_workers(
    jobs: Iterable[Job],
    options: OutputOptions,
    workers: Workers,
    stop: threading.Event | None = None,
    recolor: RecolorOptions = _NO_OPTIONS,
    note: Callable[[Outcome], None] | None = None,
) -> Iterator[Outcome]:
    """Do the jobs as `run` does, with workers that are open already.

    `note` gets each outcome as soon as it is known, in any thread.
    """
    tasks = _without_leftovers(_tasks(jobs, options))
    preflight, stop = Preflight(options, recolor), stop or threading.Event()
    return _run_tasks(tasks, preflight, workers, stop, note)


def dry_run(
    jobs: Iterable[Job],
    options: OutputOptions,
    stop: threading.Event | None = None,
    recolor: RecolorOptions = _NO_OPTIONS,
) -> Iterator[Outcome]:
    """Yield the outcomes of `run`, as far as they can be known without decoding a picture."""
    preflight = Preflight(options, recolor)
    for job, missing in prefetch(_tasks(jobs, options), _AHEAD, stop or threading.Event()):
        if stop and stop.is_set():
            return
        outcome = preflight.outcome(job, missing)
        if outcome is None and (error := preflight.input_error(job)):
            outcome = Outcome(job, Status.FAILED, error)
        status = Status.PLANNED if missing.needs_network else Status.SKIPPED
        yield outcome or Outcome(job, status)


def _tasks(jobs: Iterable[Job], options: OutputOptions) -> Iterator[_Task]:
    """Look on the disk, once for each job, for the outputs that it lacks; list those on a store."""
    expect_results(jobs, options)
    for job in jobs:
        missing = MissingOutputs(False)
        try:
            if not job.error:  # else it may have no destination
                missing = missing_outputs(job, options)
        except InputError as error:
            if not LISTINGS.asks_for_each:  # the listing of all would fail again
                raise
            job = job._replace(error=error)
        yield job, missing


def _without_leftovers(tasks: Iterable[_Task]) -> Iterator[_Task]:
    """Yield the tasks, before which the leftovers of killed runs in their folders are removed."""
    clean: set[Path] = set()
    for task in tasks:
        destination = task[0].destination
        if destination not in ("", STREAM) and not is_address(destination):
            folder = Path(destination).parent
            if folder not in clean:
                clean.add(folder)
                remove_leftovers(folder)
        yield task


def _run_tasks(
    tasks: Iterable[_Task],
    preflight: Preflight,
    workers: Workers,
    stop: threading.Event,
    note: Callable[[Outcome], None] | None = None,
) -> Iterator[Outcome]:
    def note_all(future: Future[Outcome]) -> None:
        if not future.cancelled() and not future.exception():
            preflight.targets.note(future.result())
            if note:
                note(future.result())

    def submit(task: _Task) -> Future[Outcome]:
        job, missing = task
        if outcome := preflight.outcome(job, missing):
            if note:
                note(outcome)
            settled: Future[Outcome] = Future()
            settled.set_result(outcome)
            return settled
        if is_stream(job.source) and not wait_for_input(descriptor_of(job.source), stop):
            unread: Future[Outcome] = Future()
            unread.cancel()
            return unread
        future = workers.submit(job, missing)
        future.add_done_callback(note_all)
        return future

    try:
        yield from ordered_results(submit, tasks, workers.window, stop, workers.stop)
    finally:
        workers.close()
