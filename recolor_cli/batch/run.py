"""Many pictures: a window of jobs at work, and the outcomes in the order of the jobs."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol

from recolor_cli.batch.job import STREAM, Job
from recolor_cli.batch.outcome import Outcome, Status, not_tried
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.skip_rule import MissingOutputs, missing_outputs
from recolor_cli.errors import InputError
from recolor_cli.system.files import remove_leftovers
from recolor_cli.system.prefetch import ordered_results, prefetch

_Task = tuple[Job, MissingOutputs]


class Workers(Protocol):
    """Threads or processes that do jobs."""

    @property
    def count(self) -> int:
        """Number of jobs that are worked on at a time."""
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

    Raises
    ------
    RecolorError
        What `jobs` and `open_workers` raise.
    """
    stop = stop or threading.Event()
    # One in advance, in a thread, so that a stop is noticed while a job is awaited.
    tasks = prefetch(_tasks(jobs, options), 1, stop)
    for job, missing in tasks:
        if stop.is_set():
            return
        outcome = _outcome_without_worker(job, missing, options)
        if outcome is None:
            rest = itertools.chain([(job, missing)], tasks)
            yield from _run_tasks(rest, options, open_workers(), stop)
            return
        yield outcome


def run_with_workers(
    jobs: Iterable[Job],
    options: OutputOptions,
    workers: Workers,
    stop: threading.Event | None = None,
) -> Iterator[Outcome]:
    """Do the jobs as `run` does, with workers that are open already."""
    return _run_tasks(_tasks(jobs, options), options, workers, stop or threading.Event())


def dry_run(
    jobs: Iterable[Job], options: OutputOptions, stop: threading.Event | None = None
) -> Iterator[Outcome]:
    """Yield the outcomes of `run`, as far as they can be known without reading a picture."""
    for job, missing in prefetch(_tasks(jobs, options), 1, stop or threading.Event()):
        if stop and stop.is_set():
            return
        if job.error:
            yield not_tried(job, job.error)
        elif _is_source_missing(job):
            yield _no_source(job)
        else:
            yield Outcome(job, Status.PLANNED if missing.needs_network else Status.SKIPPED)


def _tasks(jobs: Iterable[Job], options: OutputOptions) -> Iterator[_Task]:
    """Look on the disk, once for each job, for the outputs that it lacks."""
    for job in jobs:
        # A job with an error may have no destination.
        yield job, MissingOutputs(False) if job.error else missing_outputs(job, options)


def _run_tasks(
    tasks: Iterable[_Task], options: OutputOptions, workers: Workers, stop: threading.Event
) -> Iterator[Outcome]:
    clean: set[Path] = set()  # folders without leftovers of runs that were killed

    def submit(task: _Task) -> Future[Outcome]:
        job, missing = task
        if outcome := _outcome_without_worker(job, missing, options):
            settled: Future[Outcome] = Future()
            settled.set_result(outcome)
            return settled
        folder = Path(job.destination).parent
        if job.destination != STREAM and folder not in clean:
            clean.add(folder)
            remove_leftovers(folder)
        return workers.submit(job, missing)

    # With one waiting for each that is at work, no worker is idle. The depth bounds the memory.
    depth = 2 * workers.count + 2
    try:
        yield from ordered_results(submit, tasks, depth, stop, workers.stop)
    finally:
        workers.close()


def _outcome_without_worker(
    job: Job, missing: MissingOutputs, options: OutputOptions
) -> Outcome | None:
    """Return the outcome of a job that needs no worker; None if it needs one."""
    if job.error:
        return not_tried(job, job.error)
    if missing.needs_network:
        return None
    if _is_source_missing(job):
        return _no_source(job)
    if missing.comparison_sidecars or options.thumbnails:
        return None
    return Outcome(job, Status.SKIPPED)


def _is_source_missing(job: Job) -> bool:
    return job.source != STREAM and not os.path.exists(job.source)


def _no_source(job: Job) -> Outcome:
    return Outcome(job, Status.FAILED, InputError("no such file", "check the name"))
