"""Many pictures: the work on each, several at a time, and the report."""

from __future__ import annotations

import os
import threading
import traceback
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from recolor_cli.encoding import Encoding, encode_all
from recolor_cli.errors import ExitCode, InputError, RecolorError
from recolor_cli.files import back_up, read, read_pipe, remove_leftovers, write_atomic
from recolor_cli.formats import ImageFormat
from recolor_cli.image_io import DecodedImage, declared, pictures
from recolor_cli.jobs import STREAM, Job, OutputOptions, is_done
from recolor_cli.memory import available_memory
from recolor_cli.recolorizer import Recolorizer, StageTimings
from recolor_cli.streams import stdin, write_stdout
from recolor_cli.types import AnyRgbImage, ImageSize


class Status(StrEnum):
    """How a job ended."""

    WRITTEN = "written"
    SKIPPED = "skipped"
    FAILED = "failed"
    PLANNED = "planned"  # a dry run: it would be written


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one job.

    Parameters
    ----------
    job : Job
    status : Status
    error : RecolorError or None
        Why it failed.
    bug : str
        The traceback, if it failed for a reason that no one foresaw.
    size : ImageSize or None
    seconds : dict of str to float
        By stage.
    warnings : tuple of str
        What of the file could not be kept.
    """

    job: Job
    status: Status
    error: RecolorError | None = None
    bug: str = ""
    size: ImageSize | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass
class Report:
    """How a whole batch ended."""

    counts: Counter[Status] = field(default_factory=Counter)
    bugs: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        self.counts[outcome.status] += 1
        self.bugs += bool(outcome.bug)

    @property
    def exit_code(self) -> ExitCode:
        """What the process is to return."""
        if self.bugs:
            return ExitCode.BUG
        return ExitCode.SOME_FAILED if self.counts[Status.FAILED] else ExitCode.OK

    def __str__(self) -> str:
        words = [f"{count} {status}" for status in Status if (count := self.counts[status])]
        return ", ".join(words) or "nothing to do"


def run(
    jobs: Iterable[Job],
    recolorizer: Recolorizer,
    options: OutputOptions,
    workers: int,
    stop: threading.Event | None = None,
) -> Iterator[Outcome]:
    """Do the jobs and yield how each ended, in their order.

    Parameters
    ----------
    jobs : iterable of Job
    recolorizer : Recolorizer
    options : OutputOptions
    workers : int
        Pictures that are worked on at a time, each in a thread of its own: decoding, the network
        and encoding all run outside Python's lock. Memory grows with it, not with the jobs.
    stop : threading.Event or None
        Once set, what is begun is finished and yielded, and the rest is not begun.
    """
    stop = stop or threading.Event()
    clean: set[Path] = set()
    budget = MemoryBudget(int(available_memory() * 0.9))
    with ThreadPoolExecutor(workers, thread_name_prefix="recolor") as pool:
        waiting: deque[Future[Outcome]] = deque()
        try:
            for job in jobs:
                folder = Path(job.destination).parent
                if job.destination != STREAM and folder not in clean:
                    clean.add(folder)
                    remove_leftovers(folder)
                waiting.append(pool.submit(_do, job, recolorizer, options, budget))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
                if stop.is_set():
                    break
            while waiting:
                future = waiting.popleft()
                if not (stop.is_set() and future.cancel()):
                    yield future.result()
        finally:  # closed early: what is begun is finished, the rest is not begun
            for future in waiting:
                future.cancel()


class MemoryBudget:
    """Lets pictures in as memory allows: large ones wait for each other instead of failing.

    Parameters
    ----------
    total : int
        Bytes that all pictures at a time may take.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._used = 0
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, needed: int) -> Iterator[None]:
        """Wait until so many bytes are free, and hold them while the block runs.

        Raises
        ------
        InputError
            If there are not that many at all.
        """
        if needed > self._total:
            raise InputError(
                f"it needs about {needed / 2**30:.1f} GiB of memory, "
                f"{self._total / 2**30:.1f} GiB are free",
                "make it smaller first, or use a larger machine",
            )
        with self._changed:
            self._changed.wait_for(lambda: self._used + needed <= self._total)
            self._used += needed
        try:
            yield
        finally:
            with self._changed:
                self._used -= needed
                self._changed.notify_all()


def dry_run(jobs: Iterable[Job], options: OutputOptions) -> Iterator[Outcome]:
    """Yield what `run` would do, as far as that shows without reading a picture."""
    for job in jobs:
        if job.error:
            yield Outcome(job, Status.FAILED, job.error)
        elif job.source != STREAM and not os.path.exists(job.source):
            yield Outcome(job, Status.FAILED, InputError("no such file", "check the name"))
        elif is_done(job, options):
            yield Outcome(job, Status.SKIPPED)
        else:
            yield Outcome(job, Status.PLANNED)


def has_work(job: Job, options: OutputOptions) -> bool:
    """Tell whether a network is needed for a job."""
    return not (job.error or is_done(job, options))


def _do(
    job: Job, recolorizer: Recolorizer, options: OutputOptions, budget: MemoryBudget
) -> Outcome:
    """Do one job; whatever goes wrong is in the outcome, so that the others go on."""
    if job.error:
        return Outcome(job, Status.FAILED, job.error)
    if is_done(job, options):
        return Outcome(job, Status.SKIPPED)
    timings = StageTimings()
    try:
        source = None if job.source == STREAM else read(Path(job.source))
        data = source.data if source else read_pipe(stdin())
        target = options.format or ImageFormat.of_suffix(Path(job.destination).suffix)
        found = declared(data, target)
        if found.pixels > options.max_pixels:
            raise InputError(
                f"it declares {found.pixels / 1e6:,.0f} megapixels, "
                f"more than the {options.max_pixels / 1e6:,.0f} that --max-pixels allows",
                "if it is to be trusted, raise --max-pixels",
            )
        with budget.reserve(found.memory):
            timings.lap("read")
            told = _Told()
            results = _recolored(data, target, recolorizer, timings, told)
            # Stdout, or a name without a known ending, takes the source's format.
            encoded = encode_all(results, Encoding(target, options.quality, options.source_profile))
            timings.lap("encode")
        if job.destination == STREAM:
            write_stdout(encoded)
        else:
            if job.backup:
                back_up(Path(job.destination), Path(job.backup), data)
            like = source.status if source else None
            write_atomic(Path(job.destination), encoded, like, options.preserve_times)
        timings.lap("write")
    except RecolorError as error:
        return Outcome(job, Status.FAILED, error)
    except MemoryError:
        advice = "make it smaller, or use fewer --jobs"
        return Outcome(job, Status.FAILED, InputError("there is not enough memory for it", advice))
    except Exception as error:  # a bug; 100,000 other pictures are not to suffer from it
        failure = RecolorError(f"a bug in recolor: {error!r}", "please report it with -v's output")
        return Outcome(job, Status.FAILED, failure, bug=traceback.format_exc())
    return Outcome(
        job, Status.WRITTEN, size=told.size, seconds=timings.seconds, warnings=tuple(told.warnings)
    )


@dataclass
class _Told:
    """What is learnt of a file while its pictures go by."""

    size: ImageSize | None = None  # of the first
    warnings: dict[str, None] = field(default_factory=dict)  # in order, each once


def _recolored(
    data: bytes,
    target: ImageFormat | None,
    recolorizer: Recolorizer,
    timings: StageTimings,
    told: _Told,
) -> Iterator[tuple[DecodedImage, AnyRgbImage]]:
    """Recolor the pages or frames of a file, each when it is asked for."""
    for picture in pictures(data, target):
        timings.lap("decode")
        told.size = told.size or picture.size
        told.warnings |= dict.fromkeys(picture.warnings)
        yield picture, recolorizer.recolor(picture.rgb, timings, in_place=True)
        timings.lap("encode")  # of the one before, where they are encoded one by one
